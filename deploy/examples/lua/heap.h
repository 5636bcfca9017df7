// Where a Lua state's memory comes from: a region of far memory, or the same
// allocator over plain memory.
//
// One thread at a time, but for what the library's own threads do.
#ifndef FARSWAP_DEPLOY_EXAMPLES_LUA_HEAP_H_
#define FARSWAP_DEPLOY_EXAMPLES_LUA_HEAP_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "client/runtime/far_arena.h"
#include "client/runtime/farswap.hpp"
#include "client/runtime/private_server.h"
#include "deploy/examples/lua/options.h"

namespace farswap::farlua {

class Heap {
 public:
  static absl::StatusOr<std::unique_ptr<Heap>> Create(const Options& options);
  // Gives the far memory back and ends the private server.
  ~Heap();
  Heap(const Heap&) = delete;
  Heap& operator=(const Heap&) = delete;

  // A lua_Alloc; `heap` is a Heap*.
  static void* Allocate(void* heap, void* p, size_t old_bytes,
                        size_t new_bytes);

  // What the script has allocated: now, and at most.
  uint64_t bytes() const { return bytes_; }
  uint64_t peak_bytes() const { return peak_bytes_; }
  // The client's statistics as JSON; an empty object with plain memory.
  std::string StatsJson() const;

 private:
  Heap() = default;
  absl::Status OpenFar(const Options& options);
  absl::Status OpenPlain(const Options& options);
  void* Resize(void* p, size_t old_bytes, size_t new_bytes);

  char* address_ = nullptr;
  size_t length_ = 0;
  uint64_t bytes_ = 0;
  uint64_t peak_bytes_ = 0;

  // Destroyed from the last to the first.
  void* plain_ = nullptr;
  size_t plain_length_ = 0;
  std::unique_ptr<runtime::PrivateServer> server_;
  std::optional<Client> client_;
  std::optional<Group> group_;
  std::optional<Region> region_;
  std::unique_ptr<runtime::FarArena> arena_;
};

}  // namespace farswap::farlua

#endif  // FARSWAP_DEPLOY_EXAMPLES_LUA_HEAP_H_

// userfaultfd(2), and PAGEMAP_SCAN beside it: the one file that knows them.
//
// Definitions newer than the installed headers (6.1) are in uffd.cc, their
// layouts asserted.
//
// Thread-safe. Next is for one reader at a time.
#ifndef FARSWAP_CLIENT_PAGER_UFFD_H_
#define FARSWAP_CLIENT_PAGER_UFFD_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/pager/address_space.h"
#include "client/pager/map_events.h"
#include "client/pager/uffd_block_table.h"

namespace farswap::pager {

// A page fault that waits to be resolved.
struct Fault {
  char* address = nullptr;  // Exact, not aligned.
  uint32_t tid = 0;         // Of the thread that waits.
  bool write = false;
};

// What userfaultfd tells: one of the two.
struct Message {
  std::optional<Fault> fault;
  MapEvent change;
};

class Uffd final : public AddressSpace {
 public:
  // Errors: PermissionDenied (what privilege is missing), Unimplemented (the
  // kernel lacks a feature; names it).
  static absl::StatusOr<std::unique_ptr<Uffd>> Create();
  ~Uffd() override;

  // Missing pages of the range become faults from now on. The range must be
  // empty: what is present is not seen.
  absl::Status Register(char* at, size_t bytes);
  absl::Status Unregister(char* at, size_t bytes);

  // Waits for a message, or until `stop_fd` is readable: then nullopt. Between
  // reading and returning nothing can fail. Operations on the range of a
  // change are refused (EAGAIN) until Applied.
  std::optional<Message> Next(int stop_fd);

  OpResult CopyIn(char* to, const char* from, size_t bytes) override;
  OpResult MoveIn(char* to, char* from, size_t bytes) override;
  OpResult MoveOut(char* to, char* from, size_t bytes) override;
  OpResult Zap(char* at, size_t bytes) override;
  OpResult DropTable(char* block) override { return tables_.Drop(block); }
  // For tests: see BlockTable.
  char* scratch() { return tables_.scratch(); }
  void Unmap(char* at, size_t bytes) override;
  OpResult Poison(char* at, size_t bytes) override;
  OpResult Wake(char* at, size_t bytes) override;
  bool IsPresent(const char* at) override;
  const char* FirstPresent(const char* at, const char* end) override;
  bool IsHuge(const char* at) override;
  bool IsChanging(const char* at, size_t bytes) override {
    return events_.IsChanging(at, bytes);
  }
  bool IsMoving(const char* at, size_t bytes) override {
    return events_.IsMoving(at, bytes);
  }
  bool Settled(const char* at, size_t bytes) override;
  bool IsAllRead(size_t untold) override;
  void Applied(const MapEvent& change) override { events_.Applied(change); }

 private:
  Uffd(int fd, int pagemap_fd)
      : fd_(fd), pagemap_fd_(pagemap_fd), tables_(fd, &events_) {}
  const char* Scan(const char* at, const char* end, uint64_t categories);
  OpResult Move(char* to, char* from, size_t bytes, const char* home);
  // Reads one message, if there is one: a fault is returned, changes are
  // appended to changes_.
  std::optional<Fault> Read();

  const int fd_;
  const int pagemap_fd_;
  MapEvents events_;
  BlockTable tables_;
  std::vector<MapEvent> changes_;  // Read, not yet returned. The reader's.
};

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_UFFD_H_

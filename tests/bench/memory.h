// Memory under test: plain, swapped by the kernel, or far.
#ifndef FARSWAP_TESTS_BENCH_MEMORY_H_
#define FARSWAP_TESTS_BENCH_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace farswap::bench {

// A range of zeros, page-aligned, its own until the object goes.
class Memory {
 public:
  Memory() = default;
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  virtual ~Memory() = default;

  virtual std::byte* data() = 0;

  // What the memory counted: a JSON object.
  virtual std::string StatsJson() = 0;
};

// An anonymous private mapping, as stock.
absl::StatusOr<std::unique_ptr<Memory>> MapPlain(uint64_t bytes);

struct FarOptions {
  std::string servers;
  uint64_t local_limit = 0;
};

// A region of farswap's, through its C API.
absl::StatusOr<std::unique_ptr<Memory>> MapFar(uint64_t bytes,
                                               const FarOptions& options);

}  // namespace farswap::bench

#endif  // FARSWAP_TESTS_BENCH_MEMORY_H_

// Far memory as the chaos program has it: addresses to do as it likes with,
// and hints. Behind it are a pager on a transport in memory, or the C API and
// a server.
#ifndef FARSWAP_TESTS_CHAOS_FAR_MEMORY_H_
#define FARSWAP_TESTS_CHAOS_FAR_MEMORY_H_

#include <sys/types.h>

#include <cstdint>

namespace farswap::chaos {

// Thread-safe. Hints are by the region's offset, wherever its pages are, and
// false if they were refused.
class FarMemory {
 public:
  FarMemory() = default;
  FarMemory(const FarMemory&) = delete;
  FarMemory& operator=(const FarMemory&) = delete;
  virtual ~FarMemory() = default;

  virtual char* address() const = 0;
  virtual bool Pin(uint64_t offset, uint64_t bytes) = 0;
  virtual bool Unpin(uint64_t offset, uint64_t bytes) = 0;
  virtual bool Prefetch(uint64_t offset, uint64_t bytes) = 0;
  virtual bool Cold(uint64_t offset, uint64_t bytes) = 0;
  virtual bool Discard(uint64_t offset, uint64_t bytes) = 0;

  // As fork(). The child has no hints.
  virtual pid_t Fork() = 0;
};

}  // namespace farswap::chaos

#endif  // FARSWAP_TESTS_CHAOS_FAR_MEMORY_H_

// Far memory as the chaos program has it: addresses to do as it likes with,
// and hints. Behind it are a pager on a transport in memory, or the C API and
// a server, or what the program has from mmap and somebody else pages.
#ifndef FARSWAP_TESTS_CHAOS_FAR_MEMORY_H_
#define FARSWAP_TESTS_CHAOS_FAR_MEMORY_H_

#include <sys/types.h>

#include <cstdint>
#include <shared_mutex>

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

  // Of mmap, with no region behind it: it has no hints, what is mapped anew is
  // as good as what was there, and what is not unmapped stays.
  virtual bool is_plain() const { return false; }

  // Held, shared, by who moves or unmaps some of it.
  std::shared_mutex& changing() { return changing_; }

  // As fork(). The child has no hints. `*unclear`: set if others may have moved
  // or unmapped something in that moment, and what was where they did so is not
  // known to be the child's: SIGBUS, or its end.
  virtual pid_t Fork(bool* unclear) = 0;
  // Goes on as another program, with memory of its own, that exits with 0 if
  // all of it was right. Returns if that cannot be, or not now.
  virtual void Exec(uint64_t /*seed*/) {}

 private:
  std::shared_mutex changing_;
};

}  // namespace farswap::chaos

#endif  // FARSWAP_TESTS_CHAOS_FAR_MEMORY_H_

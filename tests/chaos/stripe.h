// The model: 64 pages that one thread owns, wherever they are now, and what
// each of them has to read as.
#ifndef FARSWAP_TESTS_CHAOS_STRIPE_H_
#define FARSWAP_TESTS_CHAOS_STRIPE_H_

#include <array>
#include <atomic>
#include <cstdint>

#include "common/units.h"
#include "tests/chaos/far_memory.h"

namespace farswap::chaos {

// Of all stripes, in memory that forked children share (SharedCounts).
struct Counts {
  std::atomic<uint64_t> steps{0};
  std::atomic<uint64_t> reads{0};
  std::atomic<uint64_t> writes{0};
  std::atomic<uint64_t> moves{0};
  std::atomic<uint64_t> forks{0};
  std::atomic<uint64_t> execs{0};
  std::atomic<uint64_t> sigbus{0};
  std::atomic<uint64_t> unclear{0};  // Those after a fork that was.
  std::atomic<uint64_t> wrong{0};    // Bytes, or answers of the kernel.
};

// What a page may read as.
struct Expected {
  uint64_t stamp = 0;  // 0: zeros.
  bool freed = false;  // Or zeros: MADV_FREE.
  uint64_t old = 0;    // What it was before, to tell what a wrong one is.
};

class Stripe {
 public:
  static constexpr uint64_t kPages = 64;
  static constexpr uint64_t kBytes = kPages * kPageBytes;

  // `lossy`: SIGBUS is right, and what raised it is discarded, as only that
  // makes it usable again.
  Stripe(FarMemory* memory, uint64_t offset, bool lossy, Counts* counts)
      : memory_(*memory),
        offset_(offset),
        lossy_(lossy),
        counts_(*counts),
        at_(memory->address() + offset) {}

  // Others were faster to map something where this one had unmapped.
  bool gone() const { return at_ == nullptr; }

  void Check(uint64_t p);
  void CheckAll();
  void Write(uint64_t p, uint64_t stamp);
  // From p on, as much of it as there is. DONTNEED or FREE.
  void Discard(uint64_t p, uint64_t count, int advice);
  // Unmaps all but the first `kept` pages, and goes on with memory of the
  // program's own behind them.
  void Replace(uint64_t kept);
  // Unmaps all, and goes on with new memory, wherever it is. Plain memory only.
  void Renew();
  // To where the kernel likes, which is likely where others have just left.
  void Move();
  void SetReadOnly(bool read_only);
  // A page, so that much less than the limit is locked. Not in a lossy run:
  // mlock fails at a poisoned page, after it has begun.
  void SetLocked(bool locked);
  void AdviseHuge(bool huge);

  // Hints. What was unmapped is refused, and what is lost.
  void Prefetch(uint64_t p, uint64_t count);
  void Cold(uint64_t p, uint64_t count);
  // While it is pinned, which is not long, since that is charged, the first
  // page is read.
  void Pin(uint64_t p, uint64_t count);
  void DiscardByHint(uint64_t p, uint64_t count);

  bool locked() const { return locked_; }
  // After a fork, in the child: locks are not inherited. `unclear`: as
  // FarMemory::Fork.
  void BeInherited(bool unclear) {
    locked_ = false;
    unclear_ = unclear;
    lossy_ |= unclear;
  }
  // What is the program's own goes; a region has the rest.
  void Leave();

 private:
  char* PageAt(uint64_t p) const { return at_ + p * kPageBytes; }
  uint64_t OffsetOf(uint64_t p) const { return offset_ + p * kPageBytes; }
  // It raised SIGBUS.
  void Lost(uint64_t p);
  void SayWrong(uint64_t p) const;
  // A call of the kernel's that has to work did not: errno.
  void CallFailed(const char* call);
  void Forget(uint64_t p);

  FarMemory& memory_;
  const uint64_t offset_;
  bool lossy_;
  bool unclear_ = false;
  Counts& counts_;
  char* at_;  // Null: gone.
  std::array<Expected, kPages> pages_;
  bool read_only_ = false;
  bool locked_ = false;
  uint64_t kept_ = kPages;  // The rest is the program's own.
};

}  // namespace farswap::chaos

#endif  // FARSWAP_TESTS_CHAOS_STRIPE_H_

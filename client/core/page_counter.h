// A count of pages with a limit, in a tree: what is counted in one is counted
// in all above it (mm/page_counter.c).
//
// A charge goes up from its counter, and is taken back from all below if one
// above refuses. So for a moment a counter may hold pages that will be refused
// further up, and refuse others for them: a refusal says "not now", and who
// asks asks again once something was freed. No counter ever passes its limit
// but by Charge.
//
// Thread-safe, without locks: one compare-exchange a level.
#ifndef FARSWAP_CLIENT_CORE_PAGE_COUNTER_H_
#define FARSWAP_CLIENT_CORE_PAGE_COUNTER_H_

#include <atomic>
#include <cstdint>

namespace farswap::core {

class PageCounter {
 public:
  // No machine has as many pages; sums of two do not overflow.
  static constexpr uint64_t kNoLimit = uint64_t{1} << 62;

  // `parent`, if any, must outlive this.
  PageCounter(uint64_t limit, PageCounter* parent)
      : limit_(limit), parent_(parent) {}
  PageCounter(const PageCounter&) = delete;
  PageCounter& operator=(const PageCounter&) = delete;

  // Counts the pages here and above, or nowhere: then the counter whose limit
  // was in the way is returned, else null.
  [[nodiscard]] PageCounter* TryCharge(uint64_t pages);
  // Counts them past any limit.
  void Charge(uint64_t pages);
  // REQUIRES: as many are charged.
  void Uncharge(uint64_t pages);

  // A limit below the usage refuses every charge until enough was uncharged.
  void SetLimit(uint64_t limit) {
    limit_.store(limit, std::memory_order_relaxed);
  }
  uint64_t limit() const { return limit_.load(std::memory_order_relaxed); }
  uint64_t usage() const { return usage_.load(std::memory_order_relaxed); }
  // The most that usage() was when a charge went through.
  uint64_t peak() const { return peak_.load(std::memory_order_relaxed); }

 private:
  void RaisePeak(uint64_t usage);

  std::atomic<uint64_t> limit_;
  std::atomic<uint64_t> usage_{0};
  std::atomic<uint64_t> peak_{0};
  PageCounter* const parent_;
};

}  // namespace farswap::core

#endif  // FARSWAP_CLIENT_CORE_PAGE_COUNTER_H_

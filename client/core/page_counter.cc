#include "client/core/page_counter.h"

#include "common/check.h"

namespace farswap::core {

// Relaxed throughout: the counts order nothing. What a charge is for is made
// visible to others by the lock that it is mapped under.

PageCounter* PageCounter::TryCharge(uint64_t pages) {
  uint64_t usage = usage_.load(std::memory_order_relaxed);
  do {
    const uint64_t limit = this->limit();
    if (usage > limit || pages > limit - usage) return this;
  } while (!usage_.compare_exchange_weak(usage, usage + pages,
                                         std::memory_order_relaxed));
  if (parent_ != nullptr) {
    if (PageCounter* const over = parent_->TryCharge(pages)) {
      usage_.fetch_sub(pages, std::memory_order_relaxed);
      return over;
    }
  }
  RaisePeak(usage + pages);
  return nullptr;
}

void PageCounter::Charge(uint64_t pages) {
  for (PageCounter* at = this; at != nullptr; at = at->parent_) {
    const uint64_t usage =
        at->usage_.fetch_add(pages, std::memory_order_relaxed);
    at->RaisePeak(usage + pages);
  }
}

void PageCounter::Uncharge(uint64_t pages) {
  for (PageCounter* at = this; at != nullptr; at = at->parent_) {
    const uint64_t usage =
        at->usage_.fetch_sub(pages, std::memory_order_relaxed);
    FARSWAP_CHECK(usage >= pages);
  }
}

void PageCounter::RaisePeak(uint64_t usage) {
  uint64_t seen = peak_.load(std::memory_order_relaxed);
  while (seen < usage &&
         !peak_.compare_exchange_weak(seen, usage, std::memory_order_relaxed)) {
  }
}

}  // namespace farswap::core

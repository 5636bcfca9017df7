// Pages that are charged and not yet found.
//
// Processes that share pages since a fork have them once, charged to one of
// them. When one of them is about to have a copy, be it that it writes there,
// or that its page is to be taken out, there will be a page more than is
// charged. That is charged then, and promised. The kernel does not say in which
// process the page is that nobody counts: whoever finds it (MapChanges::Adopt)
// takes the promise instead of charging it.
//
// Thread-safe.
#ifndef FARSWAP_CLIENT_PAGER_PROMISES_H_
#define FARSWAP_CLIENT_PAGER_PROMISES_H_

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace farswap::pager {

class Promises {
 public:
  // So many pages were charged.
  void Give(uint64_t pages) { given_.fetch_add(pages); }
  // At most so many fewer are promised; returns how many.
  uint64_t Take(uint64_t pages) {
    uint64_t taken = taken_.load();
    uint64_t more = 0;
    do {
      more = std::min(given_.load() - taken, pages);
    } while (!taken_.compare_exchange_weak(taken, taken + more));
    return more;
  }

  uint64_t count() const {
    const uint64_t taken = taken_.load();  // First: never more than is given.
    return given_.load() - taken;
  }
  // Of all times.
  uint64_t given() const { return given_.load(); }
  uint64_t taken() const { return taken_.load(); }

 private:
  std::atomic<uint64_t> given_{0};
  std::atomic<uint64_t> taken_{0};
};

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_PROMISES_H_

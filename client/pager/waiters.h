// Faults that rely on a read under way: who reads a folio answers them too.
//
// They are kept so that a read which fails does not start their waits anew:
// they are served again as of when they were read, and so each ends by its
// own deadline, however many threads wait for the same folio.
//
// Thread-safe. A folio's faults are added and taken under its block lock, so
// none is added to a read that has ended.
#ifndef FARSWAP_CLIENT_PAGER_WAITERS_H_
#define FARSWAP_CLIENT_PAGER_WAITERS_H_

#include <atomic>
#include <memory>
#include <vector>

#include "client/core/folio.h"
#include "client/pager/mm.h"
#include "client/pager/staging.h"
#include "client/pager/uffd.h"
#include "common/mutex.h"

namespace farswap::pager {

struct Waiter {
  std::shared_ptr<Mm> mm;  // Where it waits.
  Fault fault;
  SteadyTime start;      // When the fault was read.
  bool overdue = false;  // Counted as waiting past its deadline.
};

class Waiters {
 public:
  // One a thread of the program that waits, so bounded by those: one that a
  // signal woke, and that faults again, is there already.
  void Add(core::FolioId folio, const Waiter& waiter) {
    MutexLock lock(&mu_);
    for (const Waiting& w : waiting_) {
      if (w.folio == folio && w.waiter.mm == waiter.mm &&
          w.waiter.fault.tid == waiter.fault.tid &&
          w.waiter.fault.address == waiter.fault.address) {
        return;
      }
    }
    waiting_.push_back({folio, waiter});
    count_.fetch_add(1, std::memory_order_relaxed);
  }

  // Moves those of the folio to the end of `*to`, oldest first.
  void Take(core::FolioId folio, std::vector<Waiter>* to) {
    // Mostly there are none. Relaxed: an Add for this folio happened before,
    // under the block lock.
    if (count_.load(std::memory_order_relaxed) == 0) return;
    MutexLock lock(&mu_);
    const size_t before = waiting_.size();
    std::erase_if(waiting_, [&](const Waiting& w) {
      if (w.folio != folio) return false;
      to->push_back(w.waiter);
      return true;
    });
    count_.fetch_sub(before - waiting_.size(), std::memory_order_relaxed);
  }

 private:
  struct Waiting {
    core::FolioId folio;
    Waiter waiter;
  };

  std::atomic<size_t> count_{0};
  Mutex mu_;
  std::vector<Waiting> waiting_ ABSL_GUARDED_BY(mu_);
};

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_WAITERS_H_

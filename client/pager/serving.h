// Which faults are being served: a thread that waits in a fault and gets a
// signal leaves the fault, and raises it anew behind the handler. Without this
// every signal would cost one worker more, until none is left to read.
//
// Thread-safe.
#ifndef FARSWAP_CLIENT_PAGER_SERVING_H_
#define FARSWAP_CLIENT_PAGER_SERVING_H_

#include <algorithm>
#include <cstdint>
#include <vector>

#include "common/mutex.h"

namespace farswap::pager {

struct Mm;

class Serving {
 public:
  // False: the same fault of the same thread is being served already, and who
  // serves it hears of this one by Leave.
  bool Enter(const Mm* mm, uint32_t tid, const char* page) {
    MutexLock lock(&mu_);
    const auto it = FindLocked(mm, tid, page);
    if (it != faults_.end()) {
      it->again = true;
      return false;
    }
    faults_.push_back({mm, tid, page, false});
    return true;
  }

  // True: it was raised again meanwhile. It may have been raised after it was
  // answered, so the thread is to be woken once more.
  [[nodiscard]] bool Leave(const Mm* mm, uint32_t tid, const char* page) {
    MutexLock lock(&mu_);
    const auto it = FindLocked(mm, tid, page);
    const bool again = it->again;
    *it = faults_.back();
    faults_.pop_back();
    return again;
  }

 private:
  struct Entry {
    const Mm* mm;
    uint32_t tid;
    const char* page;
    bool again;
  };
  // As many as there are workers at most, and mostly one or two.
  std::vector<Entry>::iterator FindLocked(const Mm* mm, uint32_t tid,
                                          const char* page)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return std::find_if(faults_.begin(), faults_.end(), [&](const Entry& e) {
      return e.mm == mm && e.tid == tid && e.page == page;
    });
  }

  Mutex mu_;  // A few instructions of each fault, beside a trap of 10 us.
  std::vector<Entry> faults_ ABSL_GUARDED_BY(mu_);
};

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_SERVING_H_

// Waits for any of a few descriptors.
//
// Not poll(): that fails where the program has lowered RLIMIT_NOFILE below the
// number of them, as sandboxes do, and whoever waits for a page would wait for
// ever.
#ifndef FARSWAP_CLIENT_PAGER_WAIT_SET_H_
#define FARSWAP_CLIENT_PAGER_WAIT_SET_H_

#include <cstdint>
#include <initializer_list>

#include "client/pager/own_fd.h"

namespace farswap::pager {

// Thread-safe. Allocates nothing but in the constructor.
class WaitSet {
 public:
  // The descriptors stay the caller's, and open as long as this is used.
  WaitSet(std::initializer_list<int> fds);
  WaitSet(const WaitSet&) = delete;
  WaitSet& operator=(const WaitSet&) = delete;

  // False: the system has no descriptor left, or one of these was none.
  bool valid() const { return epoll_.valid(); }

  // A bit for each that is readable, or at its end, in the constructor's order.
  // 0: none of them in time, or a signal came. -1: no bound.
  uint32_t Wait(int timeout_ms) const;

 private:
  OwnFd epoll_;
};

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_WAIT_SET_H_

#include "client/pager/wait_set.h"

#include <sys/epoll.h>

namespace farswap::pager {
namespace {

constexpr int kMost = 4;

}  // namespace

WaitSet::WaitSet(std::initializer_list<int> fds)
    : epoll_(epoll_create1(EPOLL_CLOEXEC)) {
  uint32_t bit = 1;
  for (const int fd : fds) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u32 = bit;
    if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
      epoll_.Reset();
    }
    bit <<= 1;
  }
}

uint32_t WaitSet::Wait(int timeout_ms) const {
  epoll_event events[kMost];
  const int found = epoll_wait(epoll_.get(), events, kMost, timeout_ms);
  uint32_t bits = 0;
  for (int i = 0; i < found; ++i) bits |= events[i].data.u32;
  return bits;
}

}  // namespace farswap::pager

// epoll, by numbers that are used once.
#ifndef FARSWAP_CLIENT_LAUNCHER_RUN_POLLER_H_
#define FARSWAP_CLIENT_LAUNCHER_RUN_POLLER_H_

#include <sys/epoll.h>

#include <chrono>
#include <cstdint>
#include <vector>

#include "client/launcher/run/fd.h"

namespace farswap::launcher {

class Poller {
 public:
  Poller() : fd_(epoll_create1(EPOLL_CLOEXEC)) {}

  bool valid() const { return fd_.valid(); }

  struct Event {
    uint64_t id;
    uint32_t events;
  };

  // False, with errno, if the system has no room.
  bool Watch(int fd, uint64_t id, uint32_t events) {
    return Control(EPOLL_CTL_ADD, fd, id, events);
  }
  void Change(int fd, uint64_t id, uint32_t events) {
    Control(EPOLL_CTL_MOD, fd, id, events);
  }
  // Before its close: a copy in another process would keep it here.
  void Forget(int fd) { Control(EPOLL_CTL_DEL, fd, 0, 0); }

  std::vector<Event> Wait(std::chrono::milliseconds at_most) {
    epoll_event events[64];
    const int n =
        epoll_wait(fd_.get(), events, 64, static_cast<int>(at_most.count()));
    std::vector<Event> found;
    for (int i = 0; i < n; ++i) {
      found.push_back({events[i].data.u64, events[i].events});
    }
    return found;
  }

 private:
  bool Control(int what, int fd, uint64_t id, uint32_t events) {
    epoll_event event{};
    event.events = events;
    event.data.u64 = id;
    return epoll_ctl(fd_.get(), what, fd, &event) == 0;
  }

  Fd fd_;
};

}  // namespace farswap::launcher

#endif  // FARSWAP_CLIENT_LAUNCHER_RUN_POLLER_H_

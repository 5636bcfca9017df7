// The kernel's side of userfaultfd(2) that a process needs itself: to make one
// of its own memory, and to move pages, which only it may.
#ifndef FARSWAP_CLIENT_LAUNCHER_PRELOAD_UFFD_CALLS_H_
#define FARSWAP_CLIENT_LAUNCHER_PRELOAD_UFFD_CALLS_H_

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>

#include <cstdint>

#include "client/launcher/preload/raw_calls.h"

namespace farswap::launcher::preload {

// Of Linux 6.8; Debian 12 installs the headers of 6.1.
struct MoveArg {
  uint64_t to;
  uint64_t from;
  uint64_t bytes;
  uint64_t mode;
  int64_t moved;
};
static_assert(sizeof(MoveArg) == 40);
inline constexpr uint64_t kIoctlMove = _IOWR(UFFDIO, 0x05, MoveArg);

// Of this process; `device` is an open /dev/userfaultfd. An errno, negative.
inline int64_t MakeUffd(int device) {
  return Call(SYS_ioctl, device, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
}

// An errno, or 0. `done`: bytes that were moved in either case.
inline int32_t MovePages(int uffd, uint64_t to, uint64_t from, uint64_t bytes,
                         uint64_t* done) {
  MoveArg move = {to, from, bytes, 0, 0};
  const int64_t result = Call(SYS_ioctl, uffd, kIoctlMove, &move);
  *done = move.moved > 0 ? static_cast<uint64_t>(move.moved) : 0;
  return static_cast<int32_t>(-result);
}

}  // namespace farswap::launcher::preload

#endif  // FARSWAP_CLIENT_LAUNCHER_PRELOAD_UFFD_CALLS_H_

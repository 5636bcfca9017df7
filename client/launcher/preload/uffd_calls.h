// The two ioctls of userfaultfd that a process itself must make.
#ifndef FARSWAP_CLIENT_LAUNCHER_PRELOAD_UFFD_CALLS_H_
#define FARSWAP_CLIENT_LAUNCHER_PRELOAD_UFFD_CALLS_H_

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>

#include <cstdint>

#include "client/launcher/preload/raw_calls.h"

namespace farswap::launcher {

// Linux 6.8, newer than Debian 12's headers.
struct UffdMoveArg {
  uint64_t to;
  uint64_t from;
  uint64_t bytes;
  uint64_t mode;
  int64_t moved;
};
static_assert(sizeof(UffdMoveArg) == 40);
inline constexpr unsigned long kUffdMove = _IOWR(UFFDIO, 0x05, UffdMoveArg);

// A userfaultfd of this process, by an open /dev/userfaultfd.
inline long MakeUffd(int device) {
  return RawCall(SYS_ioctl, device, USERFAULTFD_IOC_NEW,
                 O_CLOEXEC | O_NONBLOCK);
}

inline long MovePages(int uffd, UffdMoveArg* arg) {
  return RawCall(SYS_ioctl, uffd, kUffdMove, arg);
}

}  // namespace farswap::launcher

#endif  // FARSWAP_CLIENT_LAUNCHER_PRELOAD_UFFD_CALLS_H_

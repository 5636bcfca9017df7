// The kernel's side of userfaultfd(2), as far as the installed headers do not
// have it, and one message as what the pager knows.
#ifndef FARSWAP_CLIENT_PAGER_UFFD_ABI_H_
#define FARSWAP_CLIENT_PAGER_UFFD_ABI_H_

#include <errno.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>

#include <cstdint>

namespace farswap::pager {

// From include/uapi/linux/userfaultfd.h and fs.h of Linux 6.8; Debian 12
// installs the headers of 6.1.
inline constexpr uint64_t kFeaturePoison = 1 << 14;
inline constexpr uint64_t kFeatureMove = 1 << 16;

struct MoveArg {
  uint64_t dst;
  uint64_t src;
  uint64_t len;
  uint64_t mode;
  int64_t move;
};
static_assert(sizeof(MoveArg) == 40);
inline constexpr uint64_t kIoctlMove = _IOWR(UFFDIO, 0x05, MoveArg);

struct PoisonArg {
  uffdio_range range;
  uint64_t mode;
  int64_t updated;
};
static_assert(sizeof(PoisonArg) == 32);
inline constexpr uint64_t kIoctlPoison = _IOWR(UFFDIO, 0x08, PoisonArg);

inline uint64_t U64(const void* p) { return reinterpret_cast<uint64_t>(p); }

// Its errno, or 0.
inline int Ioctl(int fd, uint64_t request, void* arg) {
  return ioctl(fd, request, arg) == 0 ? 0 : errno;
}

// Whether there is an event that nobody has read yet. The kernel looks for one
// before it looks at the range, of which there is none here.
inline bool HasUnreadEvent(int uffd) {
  uffdio_zeropage nothing{};
  return Ioctl(uffd, UFFDIO_ZEROPAGE, &nothing) == EAGAIN;
}

// Of reading a fork, whose descriptor needs a place.
inline bool IsNoDescriptor(int error) {
  return error == EMFILE || error == ENFILE;
}

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_UFFD_ABI_H_

// Whether this process may page: what tests that need far memory ask first.
#ifndef FARSWAP_TESTS_CLIENT_RUNTIME_PRIVILEGE_H_
#define FARSWAP_TESTS_CLIENT_RUNTIME_PRIVILEGE_H_

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace farswap {

inline bool HasUserfaultfd() {
  const int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
  if (device >= 0) {
    close(device);
    return true;
  }
  const auto fd = static_cast<int>(syscall(SYS_userfaultfd, O_CLOEXEC));
  if (fd >= 0) close(fd);
  return fd >= 0;
}

// Whether it may be told of forks (CAP_SYS_PTRACE, and that of the machine: a
// sandbox's user namespace has but its own).
inline bool HasForkEvents() {
  const auto fd = static_cast<int>(syscall(SYS_userfaultfd, O_CLOEXEC));
  if (fd < 0) return false;
  uffdio_api api{};
  api.api = UFFD_API;
  api.features = UFFD_FEATURE_EVENT_FORK;
  const bool told = ioctl(fd, UFFDIO_API, &api) == 0;
  close(fd);
  return told;
}

// Whether a test may fork what has far memory. Not under ASan, whose allocator
// a child may find locked.
inline bool MayFork() {
#ifdef __SANITIZE_ADDRESS__
  return false;
#else
  return HasForkEvents();
#endif
}

}  // namespace farswap

#endif  // FARSWAP_TESTS_CLIENT_RUNTIME_PRIVILEGE_H_

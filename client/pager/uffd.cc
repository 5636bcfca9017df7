#include "client/pager/uffd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/pager/uffd_abi.h"
#include "client/pager/uffd_repeat.h"
#include "common/units.h"

namespace farswap::pager {
namespace {

// /dev/userfaultfd is preferred: its permissions say who may page, where the
// system call asks for a capability.
absl::StatusOr<int> Open() {
  const int dev = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
  if (dev >= 0) {
    const int fd = ioctl(dev, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
    const int error = errno;
    close(dev);
    if (fd >= 0) return fd;
    if (error == EMFILE || error == ENFILE) {
      return absl::ResourceExhaustedError("no file descriptor is left");
    }
  }
  const int fd =
      static_cast<int>(syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK));
  if (fd >= 0) return fd;
  if (errno == ENOSYS) {
    return absl::UnimplementedError(
        "this kernel has no userfaultfd; Linux 6.8 or newer is needed");
  }
  return absl::PermissionDeniedError(
      absl::StrCat("userfaultfd is refused (", std::strerror(errno),
                   "): run with CAP_SYS_PTRACE, or allow this user to open "
                   "/dev/userfaultfd; in containers also mind seccomp"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Uffd>> Uffd::Create() {
  const absl::StatusOr<int> fd = Open();
  if (!fd.ok()) return fd.status();
  OwnFd uffd(*fd);
  const absl::StatusOr<bool> forks = Enable(uffd.get());
  if (!forks.ok()) return forks.status();
  const int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  if (pagemap < 0) {
    return absl::PermissionDeniedError("/proc/self/pagemap cannot be opened");
  }
  std::unique_ptr<Uffd> space(new Uffd(std::move(uffd), pagemap, *forks));
  if (!space->tables_.Init()) {
    return absl::ResourceExhaustedError("no address space for the pager");
  }
  return space;
}

OpResult Uffd::Move(char* to, char* from, size_t bytes, const char* home) {
  return Repeat(bytes, [&](size_t at, int64_t* done) {
    const MapEvents::Operation operation(&events_, home + at, bytes - at);
    if (operation.refused()) return kRefused;
    MoveArg arg{U64(to + at), U64(from + at), bytes - at, 0, 0};
    const int error = Ioctl(fd(), kIoctlMove, &arg);
    *done = arg.move;
    if (HasMoved(to + at, from + at, error)) {
      *done = kPageBytes;
      return EAGAIN;
    }
    return error;
  });
}

OpResult Uffd::MoveIn(char* to, char* from, size_t bytes) {
  return Move(to, from, bytes, /*home=*/to);
}

OpResult Uffd::MoveOut(char* to, char* from, size_t bytes) {
  return Move(to, from, bytes, /*home=*/from);
}

OpResult Uffd::Zap(char* at, size_t bytes) {
  if (events_.IsRefused(at, bytes)) return {EAGAIN, 0};
  {
    const MapEvents::OwnZap zap(&events_, at, bytes);
    if (madvise(at, bytes, MADV_DONTNEED) != 0) return {errno, 0};
  }
  // Of a fork that began meanwhile it is known now.
  events_.Lack(at, bytes);
  return {0, bytes};
}

void Uffd::Unmap(char* at, size_t bytes) {
  const MapEvents::OwnUnmap unmap(&events_, at, bytes);
  munmap(at, bytes);
}

}  // namespace farswap::pager

#include "client/pager/uffd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "client/pager/uffd_abi.h"
#include "client/pager/uffd_message.h"
#include "common/log_raw.h"
#include "common/units.h"

namespace farswap::pager {
namespace {

struct PageRegion {
  uint64_t start;
  uint64_t end;
  uint64_t categories;
};

struct ScanArg {
  uint64_t size;
  uint64_t flags;
  uint64_t start;
  uint64_t end;
  uint64_t walk_end;
  uint64_t vec;
  uint64_t vec_len;
  uint64_t max_pages;
  uint64_t category_inverted;
  uint64_t category_mask;
  uint64_t category_anyof_mask;
  uint64_t return_mask;
};
static_assert(sizeof(ScanArg) == 96);
constexpr uint64_t kIoctlPagemapScan = _IOWR('f', 16, ScanArg);
constexpr uint64_t kPagePresent = 1 << 3;
constexpr uint64_t kPageSwapped = 1 << 4;
constexpr uint64_t kPageHuge = 1 << 6;

// How often an operation that the kernel stopped half-way goes on before it
// gives up with EAGAIN. Each turn either did a page or lost a race.
constexpr int kMaxTurns = 4096;

// While an event is not read the kernel refuses everything. The reader never
// waits, so that is over in some microseconds; what was fetched for a fault is
// not thrown away for it. At most 10 ms.
constexpr int kUnreadTurns = 200;
constexpr std::chrono::microseconds kUnreadPause{50};

// An operation's answer where an event is read and not applied. That is over
// only when its caller has let go of the block's lock.
constexpr int kRefused = -1;

// The four ways these ioctls answer: all done (0); part done (EAGAIN with a
// positive count, the cause hidden until the rest is tried); nothing done
// (the errno, also in the field, negated); a bad argument (the field is
// untouched, so it is zeroed before). `Try(offset, &done)` runs one ioctl for
// the rest of the range and returns its errno.
//
// The kernel looks for an unread event first, then for the mapping, so where
// one was unmapped in between it says ENOENT. It is asked again: of an event
// that is still unread it says EAGAIN then, and one that was read is known.
template <typename Try>
OpResult Repeat(size_t bytes, Try&& attempt) {
  OpResult result;
  int unread = 0;
  bool absent = false;  // As was said at this offset.
  for (int turn = 0; turn < kMaxTurns; ++turn) {
    int64_t done = 0;
    const int error = attempt(result.done, &done);
    if (error == 0) return {0, bytes};
    if (done > 0) result.done += static_cast<size_t>(done);
    if (error == kRefused) break;
    if (error == ENOENT && !absent) {
      absent = true;
      continue;
    }
    if (error != EAGAIN) return {error, result.done};
    absent = false;
    if (result.done >= bytes) return {0, bytes};
    if (done > 0) continue;
    if (++unread == kUnreadTurns) break;
    std::this_thread::sleep_for(kUnreadPause);
  }
  result.error = EAGAIN;
  return result;
}

constexpr uint64_t kFeatures =
    kFeatureMove | kFeaturePoison | UFFD_FEATURE_EXACT_ADDRESS |
    UFFD_FEATURE_THREAD_ID | UFFD_FEATURE_EVENT_REMOVE |
    UFFD_FEATURE_EVENT_UNMAP | UFFD_FEATURE_EVENT_REMAP;

int Enable(int fd, uint64_t features) {
  uffdio_api api{};
  api.api = UFFD_API;
  api.features = features;
  return Ioctl(fd, UFFDIO_API, &api);
}

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
  absl::StatusOr<int> fd = Open();
  if (!fd.ok()) return fd.status();
  // Who may not be told of forks is refused all of it, and asks again.
  int error = Enable(*fd, kFeatures | UFFD_FEATURE_EVENT_FORK);
  const bool forks = error == 0;
  if (error == EPERM) error = Enable(*fd, kFeatures);
  const int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  std::unique_ptr<Uffd> uffd(new Uffd(*fd, pagemap, forks));
  if (error != 0) {
    return absl::UnimplementedError(
        "this kernel's userfaultfd cannot move or poison pages; Linux 6.8 or "
        "newer is needed");
  }
  if (pagemap < 0) {
    return absl::PermissionDeniedError("/proc/self/pagemap cannot be opened");
  }
  if (!uffd->tables_.Init()) {
    return absl::ResourceExhaustedError("no address space for the pager");
  }
  return uffd;
}

Uffd::~Uffd() {
  if (pagemap_fd_ >= 0) close(pagemap_fd_);
  if (spare_fd_ >= 0) close(spare_fd_);
}

absl::Status Uffd::Register(char* at, size_t bytes) {
  uffdio_register arg{};
  arg.range = {U64(at), bytes};
  arg.mode = UFFDIO_REGISTER_MODE_MISSING;
  const int error = Ioctl(fd_.get(), UFFDIO_REGISTER, &arg);
  if (error == 0) return absl::OkStatus();
  return absl::ErrnoToStatus(error, "userfaultfd does not register a range");
}

absl::Status Uffd::Unregister(char* at, size_t bytes) {
  uffdio_range range{U64(at), bytes};
  const int error = Ioctl(fd_.get(), UFFDIO_UNREGISTER, &range);
  if (error == 0) return absl::OkStatus();
  return absl::ErrnoToStatus(error, "userfaultfd does not let a range go");
}

std::optional<Message> Uffd::Next(const WaitSet& set) {
  for (;;) {
    if (!changes_.empty()) {
      const Message message{std::nullopt, changes_.front()};
      changes_.erase(changes_.begin());
      return message;
    }
    // Waiting for any of them needs no bound: the wait is for work, and the
    // others end it.
    const uint32_t ready = set.Wait(-1);
    if (ready > 1) return std::nullopt;
    if (ready == 0) continue;
    if (const std::optional<Fault> fault = Read()) return Message{fault, {}};
  }
}

std::optional<Fault> Uffd::Read() {
  events_.Close();
  std::optional<Message> message = ReadMessage(fd_.get());
  if (!message && IsNoDescriptor(errno)) {
    // The forking thread waits, for a descriptor that there is not.
    close(spare_fd_);
    message = ReadMessage(fd_.get());
    spare_fd_ = -1;
  }
  if (spare_fd_ < 0) spare_fd_ = open("/dev/null", O_RDONLY | O_CLOEXEC);
  const bool told = message && !message->fault;
  if (told) events_.Read(message->change, &changes_);
  events_.Open();
  return message ? message->fault : std::nullopt;
}

OpResult Uffd::CopyIn(char* to, const char* from, size_t bytes) {
  return Repeat(bytes, [&](size_t at, int64_t* done) {
    const MapEvents::Operation operation(&events_, to + at, bytes - at);
    if (operation.refused()) return kRefused;
    uffdio_copy arg{U64(to + at), U64(from + at), bytes - at, 0, 0};
    const int error = Ioctl(fd_.get(), UFFDIO_COPY, &arg);
    *done = arg.copy;
    return error;
  });
}

OpResult Uffd::Move(char* to, char* from, size_t bytes, const char* home) {
  return Repeat(bytes, [&](size_t at, int64_t* done) {
    const MapEvents::Operation operation(&events_, home + at, bytes - at);
    if (operation.refused()) return kRefused;
    MoveArg arg{U64(to + at), U64(from + at), bytes - at, 0, 0};
    const int error = Ioctl(fd_.get(), kIoctlMove, &arg);
    *done = arg.move;
    // Linux 6.18 may move a page more than it says, when another thread writes
    // to pages that a fork has shared (measured). Asked for the rest it finds
    // its own page: gone here, there already.
    if (error == EEXIST && IsPresent(to + at) && !IsPresent(from + at)) {
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

OpResult Uffd::Poison(char* at, size_t bytes) {
  return Repeat(bytes, [&](size_t offset, int64_t* done) {
    const MapEvents::Operation operation(&events_, at + offset, bytes - offset);
    if (operation.refused()) return kRefused;
    PoisonArg arg{{U64(at + offset), bytes - offset}, 0, 0};
    const int error = Ioctl(fd_.get(), kIoctlPoison, &arg);
    *done = arg.updated;
    return error;
  });
}

bool Uffd::Settled(const char* at, size_t bytes) {
  if (tables_.HasUnread()) return false;
  return !MapEvents::Operation(&events_, at, bytes).refused();
}

bool Uffd::IsAllRead(size_t untold) {
  if (tables_.HasUnread()) return false;
  // What was read until now has been taken in once the gate was open.
  const MapEvents::Operation operation(&events_, nullptr, 0);
  return events_.count() == untold;
}

OpResult Uffd::Wake(char* at, size_t bytes) {
  uffdio_range range{U64(at), bytes};
  const int error = Ioctl(fd_.get(), UFFDIO_WAKE, &range);
  return {error, error == 0 ? bytes : 0};
}

// The first page of any of the categories, or of none, or `end`.
const char* Uffd::Scan(const char* at, const char* end, uint64_t categories,
                       bool inverted) {
  PageRegion found{};
  ScanArg arg{};
  arg.size = sizeof(arg);
  arg.start = U64(at);
  arg.end = U64(end);
  arg.vec = U64(&found);
  arg.vec_len = 1;
  if (inverted) {
    arg.category_inverted = arg.category_mask = categories;
  } else {
    arg.category_anyof_mask = categories;
  }
  arg.return_mask = categories;
  if (ioctl(pagemap_fd_, kIoctlPagemapScan, &arg) != 1) return end;
  return at + (found.start - arg.start);
}

bool Uffd::IsPresent(const char* at) {
  return FirstPresent(at, at + kPageBytes) == at;
}

const char* Uffd::FirstPresent(const char* at, const char* end) {
  return Scan(at, end, kPagePresent | kPageSwapped);
}

const char* Uffd::FirstAbsent(const char* at, const char* end) {
  return Scan(at, end, kPagePresent | kPageSwapped, /*inverted=*/true);
}

bool Uffd::IsHuge(const char* at) {
  return Scan(at, at + kPageBytes, kPageHuge) == at;
}

}  // namespace farswap::pager

#include "client/pager/uffd_space.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <optional>

#include "client/pager/uffd_abi.h"
#include "client/pager/uffd_repeat.h"

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
constexpr uint64_t kPageOfZeros = 1 << 5;
constexpr uint64_t kPageHuge = 1 << 6;

constexpr uint64_t kFeatures =
    kFeatureMove | kFeaturePoison | UFFD_FEATURE_EXACT_ADDRESS |
    UFFD_FEATURE_THREAD_ID | UFFD_FEATURE_EVENT_REMOVE |
    UFFD_FEATURE_EVENT_UNMAP | UFFD_FEATURE_EVENT_REMAP;

int EnableFeatures(int fd, uint64_t features) {
  uffdio_api api{};
  api.api = UFFD_API;
  api.features = features;
  return Ioctl(fd, UFFDIO_API, &api);
}

}  // namespace

absl::StatusOr<bool> UffdSpace::Enable(int uffd) {
  // Who may not be told of forks is refused all of it, and asks again.
  int error = EnableFeatures(uffd, kFeatures | UFFD_FEATURE_EVENT_FORK);
  const bool forks = error == 0;
  if (error == EPERM) error = EnableFeatures(uffd, kFeatures);
  if (error == 0) return forks;
  return absl::UnimplementedError(
      "this kernel's userfaultfd cannot move or poison pages; Linux 6.8 or "
      "newer is needed");
}

UffdSpace::~UffdSpace() {
  if (spare_fd_ >= 0) close(spare_fd_);
}

absl::Status UffdSpace::Register(char* at, size_t bytes) {
  return RegisterAs(at, bytes, UFFDIO_REGISTER_MODE_MISSING);
}

absl::Status UffdSpace::RegisterAs(char* at, size_t bytes, uint64_t mode) {
  uffdio_register arg{};
  arg.range = {U64(at), bytes};
  arg.mode = mode;
  const int error = Ioctl(fd(), UFFDIO_REGISTER, &arg);
  if (error == 0) return absl::OkStatus();
  return absl::ErrnoToStatus(error, "userfaultfd does not register a range");
}

absl::Status UffdSpace::Unregister(char* at, size_t bytes) {
  uffdio_range range{U64(at), bytes};
  const int error = Ioctl(fd(), UFFDIO_UNREGISTER, &range);
  if (error == 0) return absl::OkStatus();
  return absl::ErrnoToStatus(error, "userfaultfd does not let a range go");
}

std::optional<Message> UffdSpace::Next(const WaitSet& set) {
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

std::optional<Message> UffdSpace::TryNext() {
  std::optional<Fault> fault;
  if (changes_.empty()) fault = Read();
  if (fault) return Message{fault, {}};
  if (changes_.empty()) return std::nullopt;
  const Message message{std::nullopt, changes_.front()};
  changes_.erase(changes_.begin());
  return message;
}

std::optional<Fault> UffdSpace::Read() {
  events_.Close();
  std::optional<Message> message = ReadMessage(fd());
  if (!message && IsNoDescriptor(errno)) {
    // The forking thread waits, for a descriptor that there is not.
    close(spare_fd_);
    message = ReadMessage(fd());
    spare_fd_ = -1;
  }
  if (spare_fd_ < 0) spare_fd_ = open("/dev/null", O_RDONLY | O_CLOEXEC);
  const bool told = message && !message->fault;
  if (told) events_.Read(message->change, &changes_);
  events_.Open();
  return message ? message->fault : std::nullopt;
}

OpResult UffdSpace::CopyIn(char* to, const char* from, size_t bytes) {
  return Repeat(bytes, [&](size_t at, int64_t* done) {
    const MapEvents::Operation operation(&events_, to + at, bytes - at);
    if (operation.refused()) return kRefused;
    uffdio_copy arg{U64(to + at), U64(from + at), bytes - at, 0, 0};
    const int error = Ioctl(fd(), UFFDIO_COPY, &arg);
    *done = arg.copy;
    return error;
  });
}

OpResult UffdSpace::Poison(char* at, size_t bytes) {
  return Repeat(bytes, [&](size_t offset, int64_t* done) {
    const MapEvents::Operation operation(&events_, at + offset, bytes - offset);
    if (operation.refused()) return kRefused;
    PoisonArg arg{{U64(at + offset), bytes - offset}, 0, 0};
    const int error = Ioctl(fd(), kIoctlPoison, &arg);
    *done = arg.updated;
    return error;
  });
}

void UffdSpace::SetPagemap(OwnFd pagemap) {
  pagemap_ = std::move(pagemap);
  pagemap_fd_.store(pagemap_.get(), std::memory_order_release);
}

bool UffdSpace::HasUnread() const { return HasUnreadEvent(fd()); }

bool UffdSpace::Settled(const char* at, size_t bytes) {
  if (HasUnread()) return false;
  return !MapEvents::Operation(&events_, at, bytes).refused();
}

bool UffdSpace::IsAllRead(size_t untold) {
  if (HasUnread()) return false;
  // What was read until now has been taken in once the gate was open.
  const MapEvents::Operation operation(&events_, nullptr, 0);
  return events_.count() == untold;
}

OpResult UffdSpace::Wake(char* at, size_t bytes) {
  uffdio_range range{U64(at), bytes};
  const int error = Ioctl(fd(), UFFDIO_WAKE, &range);
  return {error, error == 0 ? bytes : 0};
}

// The first page of any of the categories, or of none, or `end`.
const char* UffdSpace::Scan(const char* at, const char* end,
                            uint64_t categories, bool inverted) {
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
  if (ioctl(pagemap_fd(), kIoctlPagemapScan, &arg) != 1) return end;
  return at + (found.start - arg.start);
}

bool UffdSpace::IsPresent(const char* at) {
  return FirstPresent(at, at + kPageBytes) == at;
}

const char* UffdSpace::FirstPresent(const char* at, const char* end) {
  return Scan(at, end, kPagePresent | kPageSwapped);
}

const char* UffdSpace::FirstAbsent(const char* at, const char* end) {
  return Scan(at, end, kPagePresent | kPageSwapped, /*inverted=*/true);
}

const char* UffdSpace::FirstOfKernelsZeros(const char* at, const char* end) {
  return Scan(at, end, kPageOfZeros);
}

bool UffdSpace::IsHuge(const char* at) {
  return Scan(at, at + kPageBytes, kPageHuge) == at;
}

bool UffdSpace::GiveForked(char* to, const char* from) {
  return events_.any() && events_.Except(to, kPageBytes, [&](int child) {
    // It has the page already, as a rule: EEXIST. Gone (ESRCH), it lacks none.
    uffdio_copy arg{U64(to), U64(from), kPageBytes, 0, 0};
    const int error = Ioctl(child, UFFDIO_COPY, &arg);
    return error == 0 || error == EEXIST || error == ESRCH;
  });
}

}  // namespace farswap::pager

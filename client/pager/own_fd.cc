#include "client/pager/own_fd.h"

#include <unistd.h>

#include <array>
#include <atomic>
#include <utility>

namespace farswap::pager {
namespace {

// Three a served child, of which a client has at most 64, and one a client.
// Without locks, as a child may find these locked. Each is a descriptor and
// one, so that 0 is a free place.
using Places = std::array<std::atomic<int>, 4096>;
Places& All() {
  static Places places{};
  return places;
}

// Whether a place had that.
bool Exchange(int from, int to) {
  for (std::atomic<int>& place : All()) {
    int found = from;
    if (place.load(std::memory_order_relaxed) == from &&
        place.compare_exchange_strong(found, to)) {
      return true;
    }
  }
  return false;
}

}  // namespace

// Without a place left the children have it open, too.
OwnFd::OwnFd(int fd) : fd_(fd), listed_(fd >= 0 && Exchange(0, fd + 1)) {}

OwnFd::OwnFd(OwnFd&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), listed_(other.listed_) {}

OwnFd& OwnFd::operator=(OwnFd&& other) noexcept {
  if (this != &other) {
    Reset();
    fd_ = std::exchange(other.fd_, -1);
    listed_ = other.listed_;
  }
  return *this;
}

void OwnFd::Reset() {
  const int fd = std::exchange(fd_, -1);
  if (fd < 0) return;
  // No more on the list: this is a child, and the number may be another's.
  if (!listed_ || Exchange(fd + 1, 0)) close(fd);
}

int OwnFd::Release() {
  const int fd = std::exchange(fd_, -1);
  if (fd >= 0 && listed_) (void)Exchange(fd + 1, 0);
  return fd;
}

void OwnFd::CloseAllInChild() {
  for (std::atomic<int>& place : All()) {
    const int fd = place.exchange(0) - 1;
    if (fd >= 0) close(fd);
  }
}

}  // namespace farswap::pager

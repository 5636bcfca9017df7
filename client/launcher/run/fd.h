// A descriptor with an owner.
//
// Not client/pager's: that one is for a process with pagers, and this one is
// to start in a millisecond.
#ifndef FARSWAP_CLIENT_LAUNCHER_RUN_FD_H_
#define FARSWAP_CLIENT_LAUNCHER_RUN_FD_H_

#include <unistd.h>

#include <utility>

namespace farswap::launcher {

class Fd {
 public:
  Fd() = default;
  // Takes over the descriptor; -1: none.
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() { Reset(); }
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      Reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  void Reset() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }

 private:
  int fd_ = -1;
};

}  // namespace farswap::launcher

#endif  // FARSWAP_CLIENT_LAUNCHER_RUN_FD_H_

// A descriptor that a forked child is to close before anything else.
//
// A child has copies of all descriptors. With a copy of a userfaultfd open, who
// faults there waits when its owner has closed it; and the other end of a
// socket is not told. So each process closes these, of all pagers, first
// (CloseAllInChild).
#ifndef FARSWAP_CLIENT_PAGER_OWN_FD_H_
#define FARSWAP_CLIENT_PAGER_OWN_FD_H_

namespace farswap::pager {

// Not thread-safe, but for the list of all of them.
class OwnFd {
 public:
  OwnFd() = default;
  // Takes over the descriptor; -1: none.
  explicit OwnFd(int fd);
  ~OwnFd() { Reset(); }
  OwnFd(OwnFd&& other) noexcept;
  OwnFd& operator=(OwnFd&& other) noexcept;

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  void Reset();
  // It is the caller's now.
  int Release();
  // Leaves it open for good.
  void Leak() { fd_ = -1; }

  // After fork(), in the child, before any other thread is there: what its
  // parent had is open here no more.
  static void CloseAllInChild();

 private:
  int fd_ = -1;
  bool listed_ = false;
};

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_OWN_FD_H_

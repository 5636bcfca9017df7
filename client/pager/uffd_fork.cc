// Uffd: the program's forks.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "client/pager/uffd.h"
#include "client/pager/uffd_abi.h"
#include "common/units.h"

// Linux 5.14; glibc has it from 2.34 on.
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

namespace farswap::pager {

bool Uffd::Inherit(char* at, size_t bytes) {
  return forks_ && madvise(at, bytes, MADV_DOFORK) == 0;
}

bool Uffd::BeginFork() {
  if (!forks_ || !forking_.Map()) return false;
  events_.Close();
  return true;
}

void Uffd::ReadThroughFork(int stop_fd) {
  for (;;) {
    pollfd fds[2] = {{fd_, POLLIN, 0}, {stop_fd, POLLIN, 0}};
    poll(fds, 2, -1);
    RawMessages::Got got = RawMessages::Got::kNothing;
    do {
      got = forking_.Read(fd_);
      if (got == RawMessages::Got::kNothing && IsNoDescriptor(errno)) {
        close(spare_fd_);
        spare_fd_ = -1;
        got = forking_.Read(fd_);
      }
    } while (got == RawMessages::Got::kMessage);
    if (got == RawMessages::Got::kFork || fds[1].revents != 0) return;
  }
}

void Uffd::EndFork(std::vector<Message>* messages) {
  if (spare_fd_ < 0) spare_fd_ = open("/dev/null", O_RDONLY | O_CLOEXEC);
  for (const Message& message : forking_.TakeAll()) {
    if (message.fault) {
      messages->push_back(message);
    } else {
      events_.Read(message.change, &changes_);
    }
  }
  events_.Open();
  for (const MapEvent& change : changes_) messages->push_back({{}, change});
  changes_.clear();
}

OpResult Uffd::Unshare(char* at, size_t bytes) {
  {
    const auto tid = static_cast<uint32_t>(gettid());
    MutexLock lock(&unsharers_mu_);
    const auto end = unsharers_.end();
    if (std::find(unsharers_.begin(), end, tid) == end) {
      unsharers_.push_back(tid);
    }
  }
  if (madvise(at, bytes, MADV_POPULATE_WRITE) == 0) return {0, bytes};
  return {errno, 0};
}

bool Uffd::MayFault(uint32_t tid) const {
  MutexLock lock(&unsharers_mu_);
  return std::find(unsharers_.begin(), unsharers_.end(), tid) !=
         unsharers_.end();
}

bool Uffd::GiveForked(char* to, const char* from) {
  return events_.any() && events_.Except(to, kPageBytes, [&](int child) {
    // It has the page already, as a rule: EEXIST.
    uffdio_copy arg{U64(to), U64(from), kPageBytes, 0, 0};
    (void)Ioctl(child, UFFDIO_COPY, &arg);
  });
}

}  // namespace farswap::pager

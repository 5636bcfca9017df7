#include "client/runtime/child_watch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <optional>
#include <thread>

#include "client/pager/forks/forks.h"
#include "client/pager/thread.h"
#include "common/log_raw.h"

namespace farswap::runtime {
namespace {

using pager::ForkReply;

constexpr unsigned kEndSeconds = 10;

// What came by the socket; nullopt: its other end is closed.
std::optional<ForkReply> Receive(int socket, int* fd) {
  char byte = 0;
  iovec io{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &io;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  ssize_t n = 0;
  do {
    n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  } while (n < 0 && errno == EINTR);
  if (n != 1) return std::nullopt;
  const cmsghdr* const header = CMSG_FIRSTHDR(&message);
  if (header != nullptr && header->cmsg_type == SCM_RIGHTS) {
    std::memcpy(fd, CMSG_DATA(header), sizeof(*fd));
  }
  return static_cast<ForkReply>(byte);
}

// What the thread keeps; none is a stream, as it has one of these sometimes.
struct Kept {
  int socket;
  int uffd;
  int pager;  // A pidfd: copies of the socket's other end may outlive it.
};

// False: the system has none left.
bool MoveAboveStreams(int* fd) {
  if (*fd < 0 || *fd > STDERR_FILENO) return *fd >= 0;
  const int above = fcntl(*fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  if (above < 0) return false;
  close(*fd);
  *fd = above;
  return true;
}

bool CloseRange(unsigned from, unsigned to) {
  return from > to || syscall(SYS_close_range, from, to, 0) == 0;
}

// Gives this thread a descriptor table of its own, with these only.
bool KeepOnly(const Kept& kept) {
  // Containers may forbid the first, or the other.
  constexpr unsigned kNone = ~0U;
  constexpr unsigned kUnshare = 1U << 1;  // CLOSE_RANGE_UNSHARE.
  if (unshare(CLONE_FILES) != 0 &&
      syscall(SYS_close_range, kNone, kNone, kUnshare) != 0) {
    return false;
  }
  std::array<unsigned, 3> fds = {static_cast<unsigned>(kept.socket),
                                 static_cast<unsigned>(kept.uffd),
                                 static_cast<unsigned>(kept.pager)};
  std::sort(fds.begin(), fds.end());
  return CloseRange(0, fds[0] - 1) && CloseRange(fds[0] + 1, fds[1] - 1) &&
         CloseRange(fds[1] + 1, fds[2] - 1) && CloseRange(fds[2] + 1, kNone);
}

// Waits for the socket or for the pager's end; false: its end. It is as long as
// the pager, which is alive, needs to answer; it may be stopped.
bool AwaitReply(int socket, int pager) {
  pollfd fds[2] = {{socket, POLLIN, 0}, {pager, POLLIN, 0}};
  int ready = 0;
  do {
    ready = poll(fds, 2, -1);
  } while (ready < 0 && errno == EINTR);
  // It may be refused (RLIMIT_NOFILE below 2); to receive waits, too.
  return ready < 0 || fds[0].revents != 0;
}

// This thread has no stderr; the program's is its main thread's. Opened anew it
// blocks nobody, whatever it is.
[[noreturn]] void EndProgram(int signal, const char* why) {
  // No allocation: a thread of the program may be in fork(), with the locks of
  // that, and wait for the pager that has ended.
  char path[32];
  std::snprintf(path, sizeof(path), "/proc/%d/fd/2", getpid());
  const int err = open(path, O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY);
  if (err >= 0) {
    dup2(err, STDERR_FILENO);
    LogRaw(LogLevel::kError, "%s this forked child, %d", why, getpid());
  }
  kill(getpid(), signal);
  // It may have a handler for that, or block it.
  sleep(kEndSeconds);
  kill(getpid(), SIGKILL);
  for (;;) pause();
}

// The thread. `ready`: whether it can.
void Watch(const Kept& kept, std::atomic<int>* ready) {
  const bool apart = KeepOnly(kept);
  ready->store(apart ? 1 : -1);
  ready->notify_one();
  if (!apart) return;
  int none = -1;
  std::optional<ForkReply> reply;
  if (AwaitReply(kept.socket, kept.pager)) reply = Receive(kept.socket, &none);
  if (reply == ForkReply::kAbort) {
    EndProgram(SIGABRT, "lost memory, and its region's policy, abort");
  }
  if (reply != ForkReply::kQuit) {
    EndProgram(SIGKILL, "the process that pages for it has ended, and so has");
  }
  close(kept.socket);
  close(kept.uffd);
  close(kept.pager);
}

bool StartWatch(const Kept& kept) {
  std::atomic<int> ready{0};
  auto thread = pager::StartThread("farswap-watch",
                                   [&ready, kept] { Watch(kept, &ready); });
  if (!thread) return false;
  thread->detach();
  ready.wait(0);
  return ready.load() == 1;
}

[[noreturn]] void DieAlone() {
  DieRaw("the process that was to page for this forked child has ended");
}

// Nobody can watch: what is remote is given up, and only then this goes on.
void Forgo(int socket, int pager) {
  const char byte = static_cast<char>(ForkReply::kUnwatched);
  (void)send(socket, &byte, 1, MSG_NOSIGNAL);
  int none = -1;
  if (!AwaitReply(socket, pager) ||
      Receive(socket, &none) != ForkReply::kQuit) {
    DieAlone();
  }
  LogRaw(LogLevel::kWarning,
         "a forked child cannot watch the process that pages for it (threads, "
         "descriptors, a seccomp filter, another pid namespace?): its far "
         "memory that is remote raises SIGBUS");
}

}  // namespace

void WatchPager(int socket, pid_t parent) {
  // 0: it is of another pid namespace.
  if (getppid() != parent && getppid() != 0) DieAlone();
  int pager = getppid() == parent
                  ? static_cast<int>(syscall(SYS_pidfd_open, parent, 0))
                  : -1;
  int uffd = -1;
  std::optional<ForkReply> reply;
  if (AwaitReply(socket, pager)) reply = Receive(socket, &uffd);
  if (!reply) DieAlone();
  if (*reply == ForkReply::kServed) {
    const bool can = MoveAboveStreams(&socket) && MoveAboveStreams(&uffd) &&
                     MoveAboveStreams(&pager);
    if (!can || !StartWatch({socket, uffd, pager})) Forgo(socket, pager);
  }
  close(socket);
  if (pager >= 0) close(pager);
  if (uffd >= 0) close(uffd);
}

}  // namespace farswap::runtime

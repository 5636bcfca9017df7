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
#include <cstring>
#include <optional>
#include <string>
#include <thread>

#include "client/pager/forks.h"
#include "client/pager/thread.h"
#include "common/log_raw.h"

namespace farswap::runtime {
namespace {

using pager::ForkReply;

// A fork waits that long for its parent's pager, which copies the page maps
// meanwhile: some 10 ms a GiB of what is remote.
constexpr int kReplyWaitMs = 60000;

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

// What the thread keeps.
struct Kept {
  int socket;
  int uffd;
  int pager;  // A pidfd: of the socket's other end this child, and others that
              // were forked later, have copies, which outlive the pager.
};

void CloseAllBut(const Kept& kept) {
  std::array<unsigned, 3> fds = {static_cast<unsigned>(kept.socket),
                                 static_cast<unsigned>(kept.uffd),
                                 static_cast<unsigned>(kept.pager)};
  std::sort(fds.begin(), fds.end());
  unsigned from = 0;
  for (const unsigned fd : fds) {
    if (fd > from) syscall(SYS_close_range, from, fd - 1, 0);
    from = fd + 1;
  }
  syscall(SYS_close_range, from, ~0U, 0);
}

// Waits for the socket or for the pager's end; false: its end.
bool AwaitReply(int socket, int pager, int timeout_ms) {
  pollfd fds[2] = {{socket, POLLIN, 0}, {pager, POLLIN, 0}};
  int ready = 0;
  do {
    ready = poll(fds, 2, timeout_ms);
  } while (ready < 0 && errno == EINTR);
  return fds[0].revents != 0;
}

// This thread has no stderr; the program's is its main thread's.
[[noreturn]] void EndProgram() {
  const std::string path = "/proc/" + std::to_string(getpid()) + "/fd/2";
  const int err = open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  if (err >= 0) dup2(err, STDERR_FILENO);
  LogRaw(LogLevel::kError,
         "the process that pages for this forked child has ended; so does %d",
         getpid());
  kill(getpid(), SIGKILL);
  for (;;) pause();
}

// The thread. `ready`: it has descriptors of its own.
void Watch(const Kept& kept, std::atomic<int>* ready) {
  const bool apart = unshare(CLONE_FILES) == 0;
  if (apart) CloseAllBut(kept);
  ready->store(apart ? 1 : -1);
  ready->notify_one();
  if (!apart) return;
  int none = -1;
  std::optional<ForkReply> reply;
  if (AwaitReply(kept.socket, kept.pager, -1)) {
    reply = Receive(kept.socket, &none);
  }
  if (reply != ForkReply::kQuit) EndProgram();
  close(kept.socket);
  close(kept.uffd);
  close(kept.pager);
}

void StartWatch(const Kept& kept) {
  std::atomic<int> ready{0};
  auto thread = pager::StartThread("farswap-watch",
                                   [&ready, kept] { Watch(kept, &ready); });
  if (thread) {
    thread->detach();
    ready.wait(0);
  }
  if (ready.load() != 1) {
    DieRaw(
        "a forked child cannot watch the process that pages for it: the "
        "system has no thread or descriptors left");
  }
}

}  // namespace

void WatchPager(int socket, pid_t parent) {
  const auto pager = static_cast<int>(syscall(SYS_pidfd_open, parent, 0));
  int uffd = -1;
  std::optional<ForkReply> reply;
  // Else it has ended, and its number may be another one's.
  if (pager >= 0 && getppid() == parent &&
      AwaitReply(socket, pager, kReplyWaitMs)) {
    reply = Receive(socket, &uffd);
  }
  if (!reply) {
    DieRaw(
        "the process that was to page for this forked child does not "
        "answer, or has ended");
  }
  if (*reply == ForkReply::kServed && uffd < 0) {
    DieRaw("this forked child has no descriptor left for its far memory");
  }
  if (*reply == ForkReply::kServed) StartWatch({socket, uffd, pager});
  close(socket);
  close(pager);
  if (uffd >= 0) close(uffd);
}

}  // namespace farswap::runtime

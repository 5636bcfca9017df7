#include "client/runtime/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace farswap::runtime {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// No line of interest is longer; more than that without a newline is noise.
constexpr size_t kMaxLine = 4096;

absl::Status SystemError(const std::string& what) {
  return absl::ErrnoToStatus(errno, what);
}

// Waits until `fd` is readable (a pidfd: until the process ended).
bool Readable(int fd, Clock::time_point until) {
  for (;;) {
    const auto left = std::chrono::ceil<milliseconds>(until - Clock::now());
    const int timeout =
        static_cast<int>(std::clamp<int64_t>(left.count(), 0, 1 << 30));
    pollfd poll_fd = {fd, POLLIN, 0};
    const int n = poll(&poll_fd, 1, timeout);
    if (n > 0) return true;
    if (n == 0 && timeout == 0) return false;
    if (n < 0 && errno != EINTR) return false;
  }
}

struct Streams {
  int input;
  int output;
  int error;
};

// In the child of a process that may have had many threads: nothing but
// system calls from here on.
[[noreturn]] void Exec(pid_t parent, const Streams& streams,
                       char* const* argv) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  // The parent may have ended before that.
  if (getppid() != parent) _exit(127);
  setpgid(0, 0);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  if (dup2(streams.input, 0) < 0 || dup2(streams.output, 1) < 0 ||
      dup2(streams.error, 2) < 0) {
    _exit(127);
  }
  // Descriptors that the program left inheritable are not its helper's.
  syscall(SYS_close_range, 3u, ~0u, 0u);
  execv(argv[0], argv);
  _exit(127);
}

std::string Describe(int status) {
  if (WIFSIGNALED(status)) return absl::StrCat("signal ", WTERMSIG(status));
  return absl::StrCat("exit status ", WEXITSTATUS(status));
}

// At least 3: dup2 in the child must not write over a stream yet to be used,
// which happens where the program runs with its own streams closed.
Fd AboveStreams(int fd) {
  Fd original(fd);
  return Fd(fd < 0 ? fd : fcntl(fd, F_DUPFD_CLOEXEC, 3));
}

}  // namespace

Fd& Fd::operator=(Fd&& other) noexcept {
  if (this != &other) {
    if (fd_ >= 0) close(fd_);
    fd_ = other.Release();
  }
  return *this;
}

Fd::~Fd() {
  if (fd_ >= 0) close(fd_);
}

int Fd::Release() { return std::exchange(fd_, -1); }

absl::StatusOr<std::unique_ptr<ChildProcess>> ChildProcess::Start(
    const std::vector<std::string>& argv, const std::string& log) {
  int pipe_fds[2];
  if (pipe2(pipe_fds, O_CLOEXEC) != 0) return SystemError("pipe2");
  Fd output(pipe_fds[0]);
  const Fd input = AboveStreams(open("/dev/null", O_RDONLY | O_CLOEXEC));
  const Fd child_output = AboveStreams(pipe_fds[1]);
  const Fd error = AboveStreams(
      open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!input.valid() || !child_output.valid() || !error.valid()) {
    return SystemError(absl::StrCat("cannot open the streams of ", argv[0]));
  }
  std::vector<char*> arguments;
  for (const std::string& a : argv) {
    arguments.push_back(const_cast<char*>(a.c_str()));
  }
  arguments.push_back(nullptr);

  const pid_t parent = getpid();
  // Not fork(): the handlers that libraries register for it take locks that
  // other threads may hold, for a child that only goes on to exec.
  const pid_t pid = _Fork();
  if (pid < 0) return SystemError("fork");
  if (pid == 0) {
    Exec(parent, {input.get(), child_output.get(), error.get()},
         arguments.data());
  }
  Fd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd.valid()) {
    const absl::Status status = SystemError("pidfd_open");
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
    return status;
  }
  return std::unique_ptr<ChildProcess>(
      new ChildProcess(pid, std::move(pidfd), std::move(output)));
}

ChildProcess::~ChildProcess() { Stop(milliseconds(0)); }

absl::StatusOr<std::string> ChildProcess::ReadLine(milliseconds timeout) {
  const Clock::time_point until = Clock::now() + timeout;
  for (;;) {
    if (const size_t end = unread_.find('\n'); end != std::string::npos) {
      std::string line = unread_.substr(0, end);
      unread_.erase(0, end + 1);
      return line;
    }
    if (unread_.size() > kMaxLine) {
      return absl::OutOfRangeError("more than 4 KiB without a newline");
    }
    if (!Readable(output_.get(), until)) {
      return absl::DeadlineExceededError("no line in time");
    }
    char buffer[1024];
    const ssize_t n = read(output_.get(), buffer, sizeof(buffer));
    if (n == 0) return absl::OutOfRangeError("its output ended");
    if (n < 0 && errno != EINTR) return SystemError("read");
    if (n > 0) unread_.append(buffer, n);
  }
}

std::optional<std::string> ChildProcess::Wait(milliseconds timeout) {
  if (end_.has_value()) return end_;
  if (!Readable(pidfd_.get(), Clock::now() + timeout)) return std::nullopt;
  int status = 0;
  // ECHILD: the program reaped it, or ignores SIGCHLD. It is gone all the same.
  end_ = waitpid(pid_, &status, 0) == pid_ ? Describe(status)
                                           : std::string("an unknown status");
  return end_;
}

void ChildProcess::Stop(milliseconds timeout) {
  if (Wait(milliseconds(0)).has_value()) return;
  // By pidfd, which never names another process.
  if (timeout.count() > 0) {
    syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGTERM, nullptr, 0);
    if (Wait(timeout).has_value()) return;
  }
  syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0);
  // Nothing runs on past SIGKILL; the bound is for a process stuck in the
  // kernel, which init reaps one day.
  Wait(std::chrono::seconds(10));
}

}  // namespace farswap::runtime

#include "client/launcher/run/pager_process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>
#include <utility>

#include "client/launcher/run/signals.h"
#include "client/launcher/run/spawn.h"
#include "client/pager/send_packet.h"
#include "common/duration.h"

namespace farswap::launcher {
namespace {

// In the child.
void BecomePager(int control) {
  setsid();
  Signals::RestoreDefaults();
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  dup2(null, STDIN_FILENO);
  dup2(null, STDOUT_FILENO);
  // It may be one that was closed for the command.
  fcntl(STDERR_FILENO, F_SETFD, 0);
  // Not by dup2 of the same: it would still be closed at exec.
  if (control == kControlFd) fcntl(control, F_SETFD, 0);
  dup2(control, kControlFd);
  syscall(SYS_close_range, static_cast<unsigned>(kControlFd) + 1, ~0U, 0);
}

}  // namespace

std::vector<std::string> PagerArguments(const std::string& path,
                                        const Options& options) {
  std::vector<std::string> arguments = {
      path, "--local-memory=" + std::to_string(options.local_memory),
      "--fault-deadline=" + FormatDuration(options.fault_deadline)};
  const auto add = [&](const char* name, const std::string& value) {
    if (!value.empty()) arguments.push_back(name + value);
  };
  add("--servers=", options.servers);
  add("--stats=", options.stats);
  add("--metrics-listen=", options.metrics_listen);
  return arguments;
}

bool PagerProcess::Start(const std::string& path, const Options& options) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    return false;
  }
  control_ = Fd(ends[0]);
  const Fd theirs(ends[1]);
  // An outer farswap-run's tree is not where this one's pager belongs.
  const Program program{path, PagerArguments(path, options),
                        EnvironmentWithout({kRunVariable})};
  const int control = theirs.get();
  pid_ = Spawn(program, [control] { BecomePager(control); });
  if (pid_ > 0) return true;
  pid_ = 0;
  return false;
}

void PagerProcess::Send(const Control& control, Fd fd) {
  queue_.push_back({control, std::move(fd)});
  Flush();
}

int PagerProcess::SendFirst() {
  const Message& first = queue_.front();
  return pager::SendPacket(control_.get(), &first.control,
                           sizeof(first.control), first.fd.get(), MSG_DONTWAIT);
}

void PagerProcess::Flush() {
  while (control_.valid() && !queue_.empty()) {
    const int error = SendFirst();
    if (error == 0) {
      queue_.pop_front();
    } else if (error == EAGAIN) {
      return;
    } else if (error == ETOOMANYREFS || error == ENOBUFS || error == ENOMEM) {
      // The connection is said to be writable all the same.
      const timespec moment{0, 1'000'000};
      nanosleep(&moment, nullptr);
      return;
    } else {
      // It has ended, as Read is going to say.
      queue_.clear();
    }
  }
}

bool PagerProcess::FlushFor(std::chrono::milliseconds time) {
  using std::chrono::milliseconds;
  using Clock = std::chrono::steady_clock;
  const auto until = Clock::now() + time;
  for (;;) {
    Flush();
    const auto left =
        std::chrono::ceil<milliseconds>(until - Clock::now()).count();
    if (left <= 0) return true;
    pollfd state{fd(), static_cast<int16_t>(sending() ? POLLOUT : 0), 0};
    if (poll(&state, 1, static_cast<int>(left)) <= 0) continue;
    if ((state.revents & (POLLHUP | POLLERR)) != 0) return false;
  }
}

PagerProcess::News PagerProcess::Read() {
  Control control;
  const ssize_t n =
      recv(control_.get(), &control, sizeof(control), MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return News::kNone;
  if (n == sizeof(control) && control.kind == Control::Kind::kReady) {
    return News::kReady;
  }
  if (n == sizeof(control) && control.kind == Control::Kind::kFailed) {
    return News::kFailed;
  }
  if (n > 0) return News::kNone;
  return News::kEnded;
}

}  // namespace farswap::launcher

#include "client/launcher/run/signals.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <cerrno>
#include <ctime>

namespace farswap::launcher {
namespace {

constexpr int kOwnFaults[] = {SIGSEGV, SIGBUS,  SIGFPE, SIGILL,
                              SIGTRAP, SIGABRT, SIGSYS};

sigset_t Only(int signal) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signal);
  return set;
}

bool WasContinued(pid_t pid) {
  siginfo_t info{};
  const int result = waitid(P_PID, static_cast<id_t>(pid), &info,
                            WCONTINUED | WEXITED | WNOHANG | WNOWAIT);
  return result == 0 && info.si_pid == pid;
}

void SetDefault(int signal, struct sigaction* old) {
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  sigaction(signal, &action, old);
}

}  // namespace

Signals::Signals() {
  sigset_t all;
  sigfillset(&all);
  for (const int signal : kOwnFaults) sigdelset(&all, signal);
  sigprocmask(SIG_SETMASK, &all, &mask_);
  // Who ignores it is not told how a child ended.
  SetDefault(SIGCHLD, &child_);
  fd_ = Fd(signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK));
}

std::optional<signalfd_siginfo> Signals::Next() {
  signalfd_siginfo info{};
  const ssize_t n = read(fd_.get(), &info, sizeof(info));
  if (n != sizeof(info)) return std::nullopt;
  return info;
}

void Signals::Restore() const {
  // A ^Z that has come since would stop us between here and exec, with who
  // waits for that. To ignore it once takes it back.
  for (const int signal : {SIGTSTP, SIGTTIN, SIGTTOU}) {
    struct sigaction action {};
    struct sigaction old {};
    action.sa_handler = SIG_IGN;
    sigaction(signal, &action, &old);
    sigaction(signal, &old, nullptr);
  }
  sigaction(SIGCHLD, &child_, nullptr);
  sigprocmask(SIG_SETMASK, &mask_, nullptr);
}

void Signals::RestoreDefaults() {
  for (int signal = 1; signal < NSIG; ++signal) SetDefault(signal, nullptr);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

void StopLike(pid_t command, int signal) {
  struct sigaction old {};
  SetDefault(signal, &old);
  const sigset_t set = Only(signal);
  // SIGSTOP cannot be held back, so it comes last.
  if (signal != SIGSTOP) raise(signal);
  // In this order: a SIGCONT to us both either is before, and seen here, or
  // comes later, and takes our pending stop back.
  if (WasContinued(command)) {
    const timespec at_once{};
    if (signal != SIGSTOP) sigtimedwait(&set, nullptr, &at_once);
  } else if (signal == SIGSTOP) {
    raise(signal);
  } else {
    sigprocmask(SIG_UNBLOCK, &set, nullptr);
    sigprocmask(SIG_BLOCK, &set, nullptr);
  }
  if (signal != SIGSTOP) sigaction(signal, &old, nullptr);
}

void DieLike(int signal) {
  // The core is the command's. The second is for a core_pattern that is a
  // pipe, which the first does not keep from being started.
  const rlimit none{};
  setrlimit(RLIMIT_CORE, &none);
  prctl(PR_SET_DUMPABLE, 0);
  SetDefault(signal, nullptr);
  raise(signal);
  const sigset_t set = Only(signal);
  sigprocmask(SIG_UNBLOCK, &set, nullptr);
  // A process 1 survives it.
  _exit(128 + signal);
}

}  // namespace farswap::launcher

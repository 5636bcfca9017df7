#include "client/launcher/preload/ending.h"

#include <signal.h>
#include <time.h>

#include <cstdint>

#include "client/launcher/preload/raw_calls.h"
#include "client/launcher/preload/say.h"

namespace farswap::launcher::preload {
namespace {

constexpr int kStderr = 2;
constexpr int64_t kSayNanoseconds = 200'000'000;

// Another thread may fill the pipe between the look at it and the write, and
// its reader be slow: the line may cost that long.
void StartDeadline() {
  sigevent kill;
  kill.sigev_notify = SIGEV_SIGNAL;
  kill.sigev_signo = SIGKILL;
  kill.sigev_value.sival_ptr = nullptr;
  int timer = 0;
  const itimerspec limit = {{0, 0}, {0, kSayNanoseconds}};
  if (Call(SYS_timer_create, CLOCK_MONOTONIC, &kill, &timer) == 0) {
    (void)Call(SYS_timer_settime, timer, 0, &limit, nullptr);
  }
}

}  // namespace

void KillProcess() {
  (void)Call(SYS_kill, Call(SYS_getpid), SIGKILL);
  // The first process of a PID namespace is spared its own SIGKILL.
  (void)Call(SYS_exit_group, 128 + SIGKILL);
  for (;;) asm volatile("hlt");  // A seccomp filter may have forbidden both.
}

void EndWithSupervisor() {
  StartDeadline();
  // Not by /proc/PID/fd/2: to open a pipe anew takes the right to its inode,
  // which an id that was given up had.
  const int64_t program = Call(SYS_pidfd_open, Call(SYS_getpid), 0);
  const int64_t err = Call(SYS_pidfd_getfd, program, kStderr, 0);
  if (err >= 0) {
    Say(static_cast<int>(err),
        "the pager of this program has ended, and so does it", 0);
  }
  KillProcess();
}

}  // namespace farswap::launcher::preload

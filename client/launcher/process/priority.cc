#include "client/launcher/process/priority.h"

#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>

namespace farswap::launcher {
namespace {

constexpr int kHighestNice = -20;

}  // namespace

void GoFirst(pid_t thread) {
  sched_param lowest{};
  lowest.sched_priority = sched_get_priority_min(SCHED_RR);
  if (sched_setscheduler(thread, SCHED_RR | SCHED_RESET_ON_FORK, &lowest) ==
      0) {
    return;
  }
  (void)setpriority(PRIO_PROCESS, static_cast<id_t>(thread), kHighestNice);
}

void GetMost() {
  (void)setpriority(PRIO_PROCESS, 0, kHighestNice);
  // Where each session is one to the scheduler (autogroup), the session's, if
  // it is this process's own.
  if (getsid(0) != getpid()) return;
  std::ofstream("/proc/self/autogroup") << kHighestNice;
}

}  // namespace farswap::launcher

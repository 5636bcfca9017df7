// Threads that programs wait for go first.
#ifndef FARSWAP_CLIENT_LAUNCHER_PROCESS_PRIORITY_H_
#define FARSWAP_CLIENT_LAUNCHER_PROCESS_PRIORITY_H_

#include <sys/types.h>

namespace farswap::launcher {

// Has the thread (0: this one) run before all that are not of real time, as far
// as it may be had (CAP_SYS_NICE). Without it a machine that is all busy lets
// it wait for some ten milliseconds, in which programs grow unseen. It must not
// be one that computes for long. What it forks is as any other.
void GoFirst(pid_t thread);

// Has this process, and what it starts, get most of a processor when it needs
// it, as far as it may be had: who has a lock that programs wait for is not to
// wait for them.
void GetMost();

}  // namespace farswap::launcher

#endif  // FARSWAP_CLIENT_LAUNCHER_PROCESS_PRIORITY_H_

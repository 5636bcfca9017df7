// What the mover and the watcher know. It is at the top of the mover's stack:
// they touch none of the program's memory, which may be remote.
#ifndef FARSWAP_CLIENT_LAUNCHER_PRELOAD_MOVER_STATE_H_
#define FARSWAP_CLIENT_LAUNCHER_PRELOAD_MOVER_STATE_H_

#include <sched.h>

#include <cstdint>

#include "client/launcher/preload/commands.h"
#include "client/launcher/preload/raw_calls.h"
#include "client/launcher/preload/supervisor.h"

namespace farswap::launcher::preload {

struct MoverState {
  Supervisor supervisor;
  Served served;
  uint64_t tag;
  int socket;
  uint32_t progress;  // A futex: how far the mover is.
  int32_t error;      // Why it has gone.
  uint32_t watched;   // There is a watcher.
  uint32_t ending;    // A thread is about to end the process.
};

inline constexpr uint32_t kGone = 0;  // As the kernel says it (CLEARTID).
inline constexpr uint32_t kStarting = 1;
inline constexpr uint32_t kSaidHello = 2;
inline constexpr uint32_t kHasUffd = 3;

// Of both: one memory, one process.
inline constexpr uint64_t kThreadFlags =
    CLONE_VM | CLONE_SIGHAND | CLONE_THREAD;

[[noreturn]] inline void ExitThread(int code) {
  (void)Call(SYS_exit, code);
  for (;;) asm volatile("hlt");
}

}  // namespace farswap::launcher::preload

#endif  // FARSWAP_CLIENT_LAUNCHER_PRELOAD_MOVER_STATE_H_

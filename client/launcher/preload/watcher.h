// Who sees the supervisor's end while the mover is within a system call that
// waits for the supervisor: a zap for its event to be read, for one. The mover
// itself, as long as nothing can be remote; then a second thread.
#ifndef FARSWAP_CLIENT_LAUNCHER_PRELOAD_WATCHER_H_
#define FARSWAP_CLIENT_LAUNCHER_PRELOAD_WATCHER_H_

#include <cstdint>

#include "client/launcher/preload/mover_state.h"

namespace farswap::launcher::preload {

// An errno, or 0.
int64_t StartWatcher(MoverState* state);

// Returns when there is something to receive, the end included. Does not return
// when only the library's threads are left.
void AwaitCommand(MoverState* state);

// Of whichever thread comes first.
[[noreturn]] void EndOnce(MoverState* state);

}  // namespace farswap::launcher::preload

#endif  // FARSWAP_CLIENT_LAUNCHER_PRELOAD_WATCHER_H_

// The mover of a process, as it is known here.
#ifndef FARSWAP_CLIENT_LAUNCHER_PROCESS_MOVER_THREAD_H_
#define FARSWAP_CLIENT_LAUNCHER_PROCESS_MOVER_THREAD_H_

#include <sys/types.h>

#include "client/launcher/process_wire.h"

namespace farswap::launcher {

// A thread of the process `pid` that is there to the last, and so is its folder
// in /proc: the mover, which is made to go first (priority.h). One of a pid
// namespace of its own calls itself otherwise; then it is the first thread.
pid_t MoverThread(pid_t pid, const Hello& hello);

}  // namespace farswap::launcher

#endif  // FARSWAP_CLIENT_LAUNCHER_PROCESS_MOVER_THREAD_H_

// How a process ends of which something is remote that nobody has any more.
#ifndef FARSWAP_CLIENT_LAUNCHER_PRELOAD_ENDING_H_
#define FARSWAP_CLIENT_LAUNCHER_PRELOAD_ENDING_H_

namespace farswap::launcher::preload {

// Ends the process by SIGKILL. Of any thread.
[[noreturn]] void KillProcess();

// Says why on the program's stderr, which this thread does not have, then ends
// the process. Meant for a thread that has all signals blocked.
[[noreturn]] void EndWithSupervisor();

}  // namespace farswap::launcher::preload

#endif  // FARSWAP_CLIENT_LAUNCHER_PRELOAD_ENDING_H_

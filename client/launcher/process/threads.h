// The threads of a process.
#ifndef FARSWAP_CLIENT_LAUNCHER_PROCESS_THREADS_H_
#define FARSWAP_CLIENT_LAUNCHER_PROCESS_THREADS_H_

#include <sys/types.h>

#include <vector>

namespace farswap::launcher {

// Their ids; none if it has ended. `pid`: any of them.
std::vector<pid_t> ThreadsOf(pid_t pid);

}  // namespace farswap::launcher

#endif  // FARSWAP_CLIENT_LAUNCHER_PROCESS_THREADS_H_

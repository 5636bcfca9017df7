// How much memory a process has for itself.
#ifndef FARSWAP_CLIENT_LAUNCHER_PROCESS_PRIVATE_BYTES_H_
#define FARSWAP_CLIENT_LAUNCHER_PROCESS_PRIVATE_BYTES_H_

#include <cstdint>

namespace farswap::launcher {

// Resident, and neither of a file nor shared. `statm` is its /proc/PID/statm,
// open; 0 if it has ended.
uint64_t PrivateBytes(int statm);

}  // namespace farswap::launcher

#endif  // FARSWAP_CLIENT_LAUNCHER_PROCESS_PRIVATE_BYTES_H_

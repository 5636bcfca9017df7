// The mover: the library's thread in the process. It says Hello, and does what
// the supervisor asks for, as a process's pages can be moved from within only.
// When the supervisor ends it ends the process.
#ifndef FARSWAP_CLIENT_LAUNCHER_PRELOAD_MOVER_H_
#define FARSWAP_CLIENT_LAUNCHER_PRELOAD_MOVER_H_

#include <cstdint>

#include "client/launcher/preload/own_memory.h"
#include "client/launcher/preload/supervisor.h"

namespace farswap::launcher::preload {

// Starts one, and waits until it has said Hello; if `tag` is not 0, until it
// has been given the userfaultfd of this process. An errno, or 0. `paged`: see
// Served. After an error there is no thread.
int64_t StartMover(const OwnMemory& own, const Supervisor& supervisor,
                   uint64_t tag, uint32_t* paged);

}  // namespace farswap::launcher::preload

#endif  // FARSWAP_CLIENT_LAUNCHER_PRELOAD_MOVER_H_

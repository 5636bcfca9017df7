// What the supervisor may have done in the process.
#ifndef FARSWAP_CLIENT_LAUNCHER_PRELOAD_COMMANDS_H_
#define FARSWAP_CLIENT_LAUNCHER_PRELOAD_COMMANDS_H_

#include <cstdint>

#include "client/launcher/preload/connection.h"
#include "client/launcher/preload/own_memory.h"
#include "client/launcher/process_wire.h"

namespace farswap::launcher::preload {

struct Served {
  OwnMemory own;
  int uffd;  // kNoFd: none yet.
  // Set before the first page is taken out; a forked child inherits it.
  uint32_t* paged;
};

// Does what was received, and fills in the reply. It refuses what only a
// confused supervisor asks for: to change other memory than the transit, or
// the library's own. Takes received.fd; `give`: what the reply carries.
void Execute(const Received& received, Served* served, Reply* reply, int* give);

}  // namespace farswap::launcher::preload

#endif  // FARSWAP_CLIENT_LAUNCHER_PRELOAD_COMMANDS_H_

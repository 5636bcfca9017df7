// Where the supervisor is: what $FARSWAP_RUN says.
#ifndef FARSWAP_CLIENT_LAUNCHER_PRELOAD_SUPERVISOR_H_
#define FARSWAP_CLIENT_LAUNCHER_PRELOAD_SUPERVISOR_H_

#include <sys/un.h>

#include <cstdint>

#include "client/launcher/process_wire.h"

namespace farswap::launcher::preload {

struct Supervisor {
  sockaddr_un address;
  uint32_t address_bytes;
  uint8_t secret[kSecretBytes];
};

// The value of `name` in `environment`; null: it is not set.
const char* FindVariable(char* const* environment, const char* name);

// False: `text` is not NAME:SECRET.
bool ParseSupervisor(const char* text, Supervisor* supervisor);

}  // namespace farswap::launcher::preload

#endif  // FARSWAP_CLIENT_LAUNCHER_PRELOAD_SUPERVISOR_H_

// The socket to the supervisor, as the mover uses it.
#ifndef FARSWAP_CLIENT_LAUNCHER_PRELOAD_CONNECTION_H_
#define FARSWAP_CLIENT_LAUNCHER_PRELOAD_CONNECTION_H_

#include <cstdint>

#include "client/launcher/preload/supervisor.h"
#include "client/launcher/process_wire.h"

namespace farswap::launcher::preload {

inline constexpr int kNoFd = -1;

// A socket, or an errno, negative. Waits while the supervisor's queue is full,
// 10 s at most: then EAGAIN.
int64_t ConnectTo(const Supervisor& supervisor);

// False: the other side has ended.
bool SendPacket(int socket, const void* data, uint64_t bytes, int fd);

struct Received {
  Command command;
  int fd;           // kNoFd: none came.
  bool whole;       // It had the size of a command.
  bool fd_refused;  // One was sent, and this thread may not have it.
};

// False: the other side has ended.
bool ReceiveCommand(int socket, Received* received);

}  // namespace farswap::launcher::preload

#endif  // FARSWAP_CLIENT_LAUNCHER_PRELOAD_CONNECTION_H_

// Packets with at most one descriptor, over a SOCK_SEQPACKET socket.
#ifndef FARSWAP_CLIENT_LAUNCHER_PROCESS_SOCKET_IO_H_
#define FARSWAP_CLIENT_LAUNCHER_PROCESS_SOCKET_IO_H_

#include <cstddef>

#include "client/pager/own_fd.h"

namespace farswap::launcher {

enum class Received {
  kPacket,
  kNothing,  // There is none now.
  kEnd,      // The other side has ended, or sent what is no packet of ours.
};

// Receives a packet of exactly `bytes`, without waiting. `*fd`, if asked for:
// the descriptor that came with it, if one did; one that was not asked for is
// closed.
Received ReceivePacket(int socket, void* packet, size_t bytes,
                       pager::OwnFd* fd);

// Sends one, without waiting; with a copy of `fd`, if that is not -1. An errno.
int SendPacket(int socket, const void* packet, size_t bytes, int fd);

}  // namespace farswap::launcher

#endif  // FARSWAP_CLIENT_LAUNCHER_PROCESS_SOCKET_IO_H_

// A packet with at most one descriptor, over a SOCK_SEQPACKET socket.
#ifndef FARSWAP_CLIENT_PAGER_SEND_PACKET_H_
#define FARSWAP_CLIENT_PAGER_SEND_PACKET_H_

#include <cstddef>

namespace farswap::pager {

// Sends it, with a copy of `fd`, if that is not -1. `flags`: of sendmsg, beside
// MSG_NOSIGNAL. An errno; 0: it is sent.
int SendPacket(int socket, const void* packet, size_t bytes, int fd, int flags);

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_SEND_PACKET_H_

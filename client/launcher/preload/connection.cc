#include "client/launcher/preload/connection.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>

#include "client/launcher/preload/raw_calls.h"

namespace farswap::launcher::preload {
namespace {

constexpr int kConnectSeconds = 10;

// A message of one packet, and room for one descriptor: of a control buffer of
// CMSG_SPACE two would fit.
struct Packet {
  iovec data;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  msghdr message;

  Packet(void* bytes, uint64_t count) : data{bytes, count} {
    message.msg_name = nullptr;
    message.msg_namelen = 0;
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = CMSG_LEN(sizeof(int));
    message.msg_flags = 0;
    Header()->cmsg_type = 0;
  }

  cmsghdr* Header() { return reinterpret_cast<cmsghdr*>(control); }
  int* Fd() { return reinterpret_cast<int*>(CMSG_DATA(Header())); }
};

// Only root and the process's own user can have started it. After its end any
// user could listen by its name, and give this memory what content they like.
bool IsTrusted(int socket) {
  ucred peer = {0, 0, 0};
  uint32_t bytes = sizeof(peer);
  if (Call(SYS_getsockopt, socket, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) !=
      0) {
    return false;
  }
  return peer.uid == 0 || peer.uid == Call(SYS_getuid) ||
         peer.uid == Call(SYS_geteuid);
}

int64_t ConnectSocket(int socket, const Supervisor& supervisor) {
  const timeval limit = {kConnectSeconds, 0};
  int64_t result = Call(SYS_setsockopt, socket, SOL_SOCKET, SO_SNDTIMEO, &limit,
                        sizeof(limit));
  if (result != 0) return result;
  do {
    result = Call(SYS_connect, socket, &supervisor.address,
                  supervisor.address_bytes);
  } while (result == -EINTR);
  if (result == 0 && !IsTrusted(socket)) return -EPERM;
  return result;
}

}  // namespace

int64_t ConnectTo(const Supervisor& supervisor) {
  const int64_t socket =
      Call(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (socket < 0) return socket;
  const int64_t result = ConnectSocket(static_cast<int>(socket), supervisor);
  if (result == 0) return socket;
  (void)Call(SYS_close, socket);
  return result;
}

bool SendPacket(int socket, const void* data, uint64_t bytes, int fd) {
  Packet packet(const_cast<void*>(data), bytes);
  if (fd == kNoFd) {
    packet.message.msg_control = nullptr;
    packet.message.msg_controllen = 0;
  } else {
    packet.Header()->cmsg_level = SOL_SOCKET;
    packet.Header()->cmsg_type = SCM_RIGHTS;
    packet.Header()->cmsg_len = CMSG_LEN(sizeof(int));
    *packet.Fd() = fd;
  }
  int64_t sent = 0;
  do {  // It may be stopped, for as long as one likes.
    sent = Call(SYS_sendmsg, socket, &packet.message, MSG_NOSIGNAL);
  } while (sent == -EINTR || sent == -EAGAIN);
  return sent == static_cast<int64_t>(bytes);
}

bool ReceiveCommand(int socket, Received* received) {
  Packet packet(&received->command, sizeof(received->command));
  received->command.id = 0;
  int64_t bytes = 0;
  do {
    packet.message.msg_controllen = CMSG_LEN(sizeof(int));
    bytes = Call(SYS_recvmsg, socket, &packet.message, MSG_CMSG_CLOEXEC);
  } while (bytes == -EINTR);
  if (bytes <= 0) return false;
  received->whole =
      bytes == sizeof(Command) && (packet.message.msg_flags & MSG_TRUNC) == 0;
  const bool has_fd = packet.message.msg_controllen >= CMSG_LEN(sizeof(int)) &&
                      packet.Header()->cmsg_type == SCM_RIGHTS;
  received->fd = has_fd ? *packet.Fd() : kNoFd;
  received->fd_refused =
      !has_fd && (packet.message.msg_flags & MSG_CTRUNC) != 0;
  return true;
}

}  // namespace farswap::launcher::preload

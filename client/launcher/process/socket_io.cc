#include "client/launcher/process/socket_io.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <cstring>
#include <utility>

#include "client/pager/send_packet.h"

namespace farswap::launcher {

Received ReceivePacket(int socket, void* packet, size_t bytes,
                       pager::OwnFd* fd) {
  iovec io{packet, bytes};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &io;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  ssize_t n = 0;
  do {
    n = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  } while (n < 0 && errno == EINTR);
  if (n < 0 && errno == EAGAIN) return Received::kNothing;
  const cmsghdr* const header = CMSG_FIRSTHDR(&message);
  if (header != nullptr && header->cmsg_type == SCM_RIGHTS) {
    int sent = -1;
    std::memcpy(&sent, CMSG_DATA(header), sizeof(sent));
    pager::OwnFd owned(sent);
    if (fd != nullptr) *fd = std::move(owned);
  }
  const bool whole =
      n == static_cast<ssize_t>(bytes) && (message.msg_flags & MSG_TRUNC) == 0;
  return whole ? Received::kPacket : Received::kEnd;
}

int SendPacket(int socket, const void* packet, size_t bytes, int fd) {
  return pager::SendPacket(socket, packet, bytes, fd, MSG_DONTWAIT);
}

}  // namespace farswap::launcher

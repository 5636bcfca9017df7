#include "tests/client/launcher/preload/peer.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "client/pager/send_packet.h"

namespace farswap::launcher {
namespace {

constexpr int kLimitMs = 20000;
constexpr uint64_t kFeatureMove = 1 << 16;  // Of Linux 6.8.
constexpr char kSecret[] = "000102030405060708090a0b0c0d0e0f";

int Ioctl(int fd, uint64_t request, void* argument) {
  return ioctl(fd, request, argument) == 0 ? 0 : errno;
}

bool IsReadable(int fd) {
  pollfd ready{fd, POLLIN, 0};
  return poll(&ready, 1, kLimitMs) == 1 && (ready.revents & POLLIN) != 0;
}

bool ReadEvent(int uffd, uffd_msg* message) {
  return IsReadable(uffd) &&
         read(uffd, message, sizeof(*message)) == sizeof(*message);
}

bool HasSecret(const Hello& hello) {
  for (uint32_t i = 0; i < kSecretBytes; ++i) {
    if (hello.secret[i] != i) return false;
  }
  return hello.version == kProcessWireVersion;
}

}  // namespace

void Peer::Close() {
  if (socket_ >= 0) close(socket_);
  socket_ = -1;
}

bool Peer::Send(const void* data, size_t bytes, int fd) const {
  return pager::SendPacket(socket_, data, bytes, fd, /*flags=*/0) == 0;
}

std::optional<Reply> Peer::Receive(int* fd) const {
  Reply reply;
  iovec io{&reply, sizeof(reply)};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &io;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  if (!IsReadable(socket_) ||
      recvmsg(socket_, &message, MSG_CMSG_CLOEXEC) != sizeof(reply)) {
    return std::nullopt;
  }
  int came = -1;
  const cmsghdr* const header = CMSG_FIRSTHDR(&message);
  if (header != nullptr) std::memcpy(&came, CMSG_DATA(header), sizeof(came));
  if (fd != nullptr) *fd = came;
  return reply;
}

int Peer::Ask(Op op, uint64_t to, uint64_t from, uint64_t bytes, int fd) const {
  const Command command{op, 42, to, from, bytes};
  if (!Send(&command, sizeof(command), fd)) return -1;
  const std::optional<Reply> reply = Receive();
  return reply && reply->id == command.id ? reply->error : -1;
}

int Peer::MakeUffd() const {
  const int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
  const Command command{Op::kMakeUffd, 1, 0, 0, 0};
  const bool sent = Send(&command, sizeof(command), device);
  close(device);
  int uffd = -1;
  const std::optional<Reply> reply = sent ? Receive(&uffd) : std::nullopt;
  if (!reply || reply->error != 0) return -1;
  uffdio_api api{};
  api.api = UFFD_API;
  api.features = kFeatureMove | UFFD_FEATURE_EVENT_FORK |
                 UFFD_FEATURE_EVENT_REMOVE | UFFD_FEATURE_EVENT_UNMAP |
                 UFFD_FEATURE_EVENT_REMAP;
  return Ioctl(uffd, UFFDIO_API, &api) == 0 ? uffd : -1;
}

Listener::Listener(int backlog)
    : socket_(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)) {
  // The kernel chooses a name that is free: five hexadecimal digits.
  sockaddr_un address{AF_UNIX, {}};
  socklen_t bytes = sizeof(address);
  if (bind(socket_, reinterpret_cast<sockaddr*>(&address),
           sizeof(address.sun_family)) != 0 ||
      listen(socket_, backlog) != 0 ||
      getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &bytes) !=
          0) {
    abort();
  }
  run_ = std::string(address.sun_path + 1,
                     bytes - sizeof(address.sun_family) - 1) +
         ":" + kSecret;
}

Listener::~Listener() { Close(); }

void Listener::Close() {
  if (socket_ >= 0) close(socket_);
  socket_ = -1;
}

std::unique_ptr<Peer> Listener::Accept() const {
  if (!IsReadable(socket_)) return nullptr;
  const int socket = accept4(socket_, nullptr, nullptr, SOCK_CLOEXEC);
  ucred peer{};
  socklen_t bytes = sizeof(peer);
  getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &bytes);
  Hello hello;
  if (!IsReadable(socket) ||
      recv(socket, &hello, sizeof(hello), 0) != sizeof(hello) ||
      !HasSecret(hello)) {
    close(socket);
    return nullptr;
  }
  return std::make_unique<Peer>(socket, peer.pid, hello);
}

bool Register(int uffd, uint64_t start, uint64_t bytes) {
  uffdio_register range{};
  range.range = {start, bytes};
  range.mode = UFFDIO_REGISTER_MODE_MISSING;
  return Ioctl(uffd, UFFDIO_REGISTER, &range) == 0;
}

int Copy(int uffd, uint64_t to, const void* from, uint64_t bytes) {
  uffdio_copy copy{to, reinterpret_cast<uint64_t>(from), bytes, 0, 0};
  return Ioctl(uffd, UFFDIO_COPY, &copy);
}

int ReadFork(int uffd) {
  uffd_msg message;
  if (!ReadEvent(uffd, &message) || message.event != UFFD_EVENT_FORK) return -1;
  return static_cast<int>(message.arg.fork.ufd);
}

bool ReadRemove(int uffd) {
  uffd_msg message;
  return ReadEvent(uffd, &message) && message.event == UFFD_EVENT_REMOVE;
}

uint64_t ReadFault(int uffd) {
  uffd_msg message;
  if (!ReadEvent(uffd, &message) || message.event != UFFD_EVENT_PAGEFAULT) {
    return 0;
  }
  return message.arg.pagefault.address & ~(kPage - 1);
}

std::string ReadMemory(pid_t pid, uint64_t from, uint64_t bytes) {
  const std::string path = "/proc/" + std::to_string(pid) + "/mem";
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  std::string content(bytes, '\0');
  const ssize_t got =
      pread(fd, content.data(), bytes, static_cast<off_t>(from));
  close(fd);
  content.resize(got > 0 ? static_cast<size_t>(got) : 0);
  return content;
}

}  // namespace farswap::launcher

#include "client/launcher/run/rendezvous.h"

#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>

namespace farswap::launcher {
namespace {

// As of Linux 6.5; Debian 12's headers are of 6.1.
constexpr int kSoPeerPidfd = 77;
// As many as the kernel lets wait; more wait in connect(2).
constexpr int kBacklog = 4096;
constexpr size_t kNameBytes = 8;

std::string Hexadecimal(const uint8_t* bytes, size_t count) {
  std::string text;
  for (size_t i = 0; i < count; ++i) {
    char digits[3];
    std::snprintf(digits, sizeof(digits), "%02x", bytes[i]);
    text += digits;
  }
  return text;
}

// At the same time, whatever is different.
bool SameSecret(const uint8_t* a, const uint8_t* b) {
  unsigned different = 0;
  for (size_t i = 0; i < kSecretBytes; ++i) different |= a[i] ^ b[i];
  return different == 0;
}

// Listens at the abstract address `name`.
bool Listen(int fd, const std::string& name) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path + 1, name.data(), name.size());
  const auto bytes =
      static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  return bind(fd, reinterpret_cast<sockaddr*>(&address), bytes) == 0 &&
         listen(fd, kBacklog) == 0;
}

}  // namespace

std::optional<Rendezvous> Rendezvous::Create() {
  Rendezvous made;
  uint8_t name[kNameBytes];
  if (getrandom(name, sizeof(name), 0) != sizeof(name) ||
      getrandom(made.secret_, kSecretBytes, 0) != kSecretBytes) {
    return std::nullopt;
  }
  made.name_ = "farswap-run-" + Hexadecimal(name, sizeof(name));
  made.fd_ =
      Fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!made.fd_.valid() || !Listen(made.fd_.get(), made.name_)) {
    return std::nullopt;
  }
  return made;
}

std::string Rendezvous::Variable() const {
  return name_ + ":" + Hexadecimal(secret_, kSecretBytes);
}

Fd Rendezvous::Accept() {
  return Fd(accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
}

Rendezvous::Read Rendezvous::ReadHello(int fd, Hello* hello) const {
  // One byte more, to see that a message is too long.
  char message[sizeof(Hello) + 1];
  const ssize_t n = recv(fd, message, sizeof(message), MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return Read::kNothingYet;
  if (n <= 0) return Read::kEnded;
  if (n != sizeof(Hello)) return Read::kWrong;
  std::memcpy(hello, message, sizeof(Hello));
  const bool right = hello->version == kProcessWireVersion &&
                     SameSecret(hello->secret, secret_);
  return right ? Read::kHello : Read::kWrong;
}

pid_t PeerPid(int fd) {
  ucred peer{};
  socklen_t bytes = sizeof(peer);
  const int error = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes);
  return error == 0 ? peer.pid : 0;
}

Fd PeerPidfd(int fd) {
  int pidfd = -1;
  socklen_t bytes = sizeof(pidfd);
  const int error = getsockopt(fd, SOL_SOCKET, kSoPeerPidfd, &pidfd, &bytes);
  return Fd(error == 0 ? pidfd : -1);
}

}  // namespace farswap::launcher

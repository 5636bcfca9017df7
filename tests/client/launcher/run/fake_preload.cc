// What libfarswap-preload.so says first, without the rest: reports in, has a
// thread by the mover's name, and ends the process with the connection.
#include <fcntl.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "client/launcher/process_wire.h"

namespace {

using farswap::launcher::Hello;
using farswap::launcher::kRunVariable;
using farswap::launcher::kSecretBytes;

int connection = -1;

void* Watch(void*) {
  prctl(PR_SET_NAME, "farswap-mover");
  char byte;
  while (recv(connection, &byte, 1, 0) > 0) {
  }
  kill(getpid(), SIGKILL);
  return nullptr;
}

bool Connect(const char* name, size_t bytes) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path + 1, name, bytes);
  const auto length =
      static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + bytes);
  // Away from those that a shell uses.
  const int low = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  connection = fcntl(low, F_DUPFD_CLOEXEC, 200);
  close(low);
  return connect(connection, reinterpret_cast<sockaddr*>(&address), length) ==
         0;
}

void ReadSecret(const char* text, Hello* hello) {
  for (size_t i = 0; i < kSecretBytes; ++i) {
    unsigned byte = 0;
    std::sscanf(text + 2 * i, "%2x", &byte);
    hello->secret[i] = static_cast<uint8_t>(byte);
  }
}

void Report() {
  const char* value = std::getenv(kRunVariable);
  const char* colon = value == nullptr ? nullptr : std::strchr(value, ':');
  if (colon == nullptr) return;
  if (!Connect(value, static_cast<size_t>(colon - value))) return;
  Hello hello;
  ReadSecret(colon + 1, &hello);
  if (std::getenv("FAKE_PRELOAD_WRONG_SECRET") != nullptr) ++hello.secret[3];
  if (std::getenv("FAKE_PRELOAD_WRONG_VERSION") != nullptr) ++hello.version;
  hello.transit = static_cast<uint64_t>(getpid());
  send(connection, &hello, sizeof(hello), MSG_NOSIGNAL);
  pthread_t thread;
  sigset_t all;
  sigset_t old;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &old);
  pthread_create(&thread, nullptr, Watch, nullptr);
  pthread_sigmask(SIG_SETMASK, &old, nullptr);
}

void InChild() {
  close(connection);
  Report();
}

__attribute__((constructor)) void Begin() {
  Report();
  pthread_atfork(nullptr, nullptr, InChild);
}

}  // namespace

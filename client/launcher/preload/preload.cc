// libfarswap-preload.so: what farswap-run puts into each process of its tree.
// It connects the process to whoever pages for the tree, and starts its mover.
//
// It depends on libc alone, and shows the program nothing: no symbol, no
// descriptor, no change of errno or signals. Without $FARSWAP_RUN it does
// nothing.
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>

#include "client/launcher/preload/mover.h"
#include "client/launcher/preload/own_memory.h"
#include "client/launcher/preload/raw_calls.h"
#include "client/launcher/process_wire.h"

namespace farswap::launcher {
namespace {

constexpr char kUnreachable[] =
    "farswap: a process cannot reach the farswap-run that it was started "
    "under; its memory stays local\n";
constexpr char kNoMover[] =
    "farswap: a process has no room for a mover; its memory stays local\n";

// What $FARSWAP_RUN says, taken when the process begins: the program may change
// its environment.
struct Where {
  sockaddr_un address = {};
  socklen_t bytes = 0;
  uint8_t secret[kSecretBytes] = {};
};

// Before any constructor: ours may be the first.
constinit OwnMemory memory;
constinit Mover mover;
constinit Where where;

int Digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

bool ParseSecret(const char* text, uint8_t* secret) {
  for (uint32_t i = 0; i < kSecretBytes; ++i) {
    const int high = Digit(text[2 * i]);
    const int low = high < 0 ? -1 : Digit(text[2 * i + 1]);
    if (low < 0) return false;
    secret[i] = static_cast<uint8_t>(high << 4 | low);
  }
  return text[size_t{2} * kSecretBytes] == '\0';
}

// NAME:SECRET, the name of an abstract socket.
bool Parse(const char* text, Where* to) {
  to->address.sun_family = AF_UNIX;
  size_t length = 0;
  for (; text[length] != ':'; ++length) {
    if (text[length] == '\0' || length + 2 > sizeof(to->address.sun_path)) {
      return false;
    }
    to->address.sun_path[1 + length] = text[length];
  }
  to->bytes =
      static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + length);
  return length > 0 && ParseSecret(text + length + 1, to->secret);
}

int Connect() {
  const long fd =
      RawCall(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  long result = 0;
  do {
    result = RawCall(SYS_connect, fd, &where.address, where.bytes);
  } while (result == -EINTR);
  if (result == 0) return static_cast<int>(fd);
  RawCall(SYS_close, fd);
  return -1;
}

// False, and a line: it cannot be had.
bool Start(uint64_t tag) {
  mover = Mover();
  mover.socket = Connect();
  if (mover.socket < 0) {
    Say(2, kUnreachable);
    return false;
  }
  mover.stack_end = memory.stack_end();
  mover.hello.tag = tag;
  __builtin_memcpy(mover.hello.secret, where.secret, kSecretBytes);
  memory.Tell(&mover.hello);
  const bool started = StartMover(&mover);
  RawCall(SYS_close, mover.socket);
  if (!started) Say(2, kNoMover);
  return started;
}

// The child's only thread, in fork(), before any handler of the program's.
void InChild() {
  const uint64_t tag = memory.ReadTag();
  const bool started = memory.MapAgain() && Start(tag);
  if (tag == 0) return;
  // It has far memory, and nobody to see to it that it never reads zeros.
  if (!started) EndProcess();
  AwaitTaken(&mover);
}

__attribute__((constructor)) void Begin() {
  const char* const text = secure_getenv(kRunVariable);
  if (text == nullptr || !Parse(text, &where)) return;
  if (!memory.Map()) {
    Say(2, kNoMover);
    return;
  }
  if (Start(/*tag=*/0)) pthread_atfork(nullptr, nullptr, InChild);
}

}  // namespace
}  // namespace farswap::launcher

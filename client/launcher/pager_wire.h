// What farswap-run says to farswap-pager, which it starts with one end of a
// SOCK_SEQPACKET pair as descriptor kControlFd. One message is one packet.
#ifndef FARSWAP_CLIENT_LAUNCHER_PAGER_WIRE_H_
#define FARSWAP_CLIENT_LAUNCHER_PAGER_WIRE_H_

#include <cstdint>

#include "client/launcher/process_wire.h"

namespace farswap::launcher {

inline constexpr int kControlFd = 3;

struct Control {
  enum class Kind : uint32_t {
    // From the pager, first: all is there but processes.
    kReady = 1,
    // From the pager: it cannot. It has said why on stderr, and exits.
    kFailed = 2,
    // To the pager, when it is ready, with a descriptor: where processes
    // connect. It is the pager's to accept from now on. `hello.secret` is set.
    kListen = 3,
    // To the pager: the userfaultfd, enabled, of the process that is next.
    kUffd = 4,
    // To the pager, with the process's socket: one that has said `hello` before
    // the pager was there. `pid`: who connected.
    kProcess = 5,
    // To the pager: the command has ended, and this process will. The pager
    // stays as long as a process of the tree does. If the connection ends
    // without it, the pager ends them all.
    kBye = 6,
  };
  // What is known of a process's userfaultfd.
  enum class Uffd : uint32_t {
    kNone = 0,
    kAsked = 1,  // Its mover has been asked for one, and is going to answer.
    kSent = 2,   // kUffd was it. What was in its map then is registered.
  };

  Kind kind = Kind::kBye;
  int32_t pid = 0;
  Hello hello;
  Uffd uffd = Uffd::kNone;
  uint32_t unused = 0;
};
static_assert(sizeof(Control) == 80);

}  // namespace farswap::launcher

#endif  // FARSWAP_CLIENT_LAUNCHER_PAGER_WIRE_H_

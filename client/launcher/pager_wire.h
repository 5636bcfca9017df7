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
    // To the pager, first, with a descriptor: where processes connect. It is
    // the pager's to accept from now on. `hello.secret` is set.
    kListen = 1,
    // To the pager, with the process's socket: one that has said `hello` before
    // the pager was there. `pid`: who connected.
    kProcess = 2,
    // To the pager: the command has ended, and this process will. The pager
    // stays as long as a process of the tree does. If the connection ends
    // without it, the pager ends them all.
    kBye = 3,
    // From the pager: it has taken kListen and pages from now on.
    kReady = 4,
    // From the pager: it cannot. It has said why on stderr, and exits.
    kFailed = 5,
  };

  Kind kind = Kind::kBye;
  int32_t pid = 0;
  Hello hello;
};
static_assert(sizeof(Control) == 72);

}  // namespace farswap::launcher

#endif  // FARSWAP_CLIENT_LAUNCHER_PAGER_WIRE_H_

// What a process of the tree and its supervisor say to each other: the
// preload library's mover on one side, farswap-run or farswap-pager on the
// other.
//
// A process finds its supervisor by $FARSWAP_RUN: an abstract Unix socket of
// SOCK_SEQPACKET and a secret, "NAME:SECRET" (kSecretBytes in hexadecimal). It
// says Hello once; then it answers commands, one by one, in their order. A
// message is one packet, and carries at most one descriptor (SCM_RIGHTS).
//
// The end of the connection says that the other side has ended. A process that
// sees it ends at once (SIGKILL): what is remote of it is gone.
//
// Both sides are of one installation; still each message is checked for its
// size and the version, as the environment outlives an upgrade.
#ifndef FARSWAP_CLIENT_LAUNCHER_PROCESS_WIRE_H_
#define FARSWAP_CLIENT_LAUNCHER_PROCESS_WIRE_H_

#include <cstdint>

namespace farswap::launcher {

inline constexpr char kRunVariable[] = "FARSWAP_RUN";
inline constexpr uint32_t kProcessWireVersion = 1;
inline constexpr uint32_t kSecretBytes = 16;

// Of each process. Pages are moved to it, and read from there.
inline constexpr uint64_t kTransitBytes = uint64_t{4} << 20;  // 2 MiB aligned.

// Process to supervisor, first. Addresses are of the process.
struct Hello {
  uint32_t version = kProcessWireVersion;
  uint32_t mover = 0;  // Thread id of the mover, as the process sees it.
  uint8_t secret[kSecretBytes] = {};
  // What was in the tag page: 0 in a process of its own; in a child whose
  // parent was paged for, what the supervisor copied there for the child.
  uint64_t tag = 0;
  // kTransitBytes, absent, not inherited by children.
  uint64_t transit = 0;
  // A page that is never written by the process, and empty in each child
  // (MADV_WIPEONFORK). The supervisor registers it before anything else, so it
  // is missing in a child until the supervisor has filled it.
  uint64_t tag_page = 0;
  // All of the library's own mappings, both of those among them: not to be
  // registered otherwise, nor moved.
  uint64_t own_start = 0;
  uint64_t own_end = 0;
};
static_assert(sizeof(Hello) == 64);

// Supervisor to process. `bytes` and addresses are multiples of a page.
enum class Op : uint32_t {
  // With a descriptor of /dev/userfaultfd: makes a userfaultfd (O_NONBLOCK,
  // O_CLOEXEC), keeps it, and answers with a copy.
  kMakeUffd = 1,
  // With a userfaultfd, of this process: keeps it.
  kTakeUffd = 2,
  // Moves the pages of [from, from + bytes) to `to`.
  kMove = 3,
  // madvise(MADV_DONTNEED_LOCKED) of [to, to + bytes).
  kZap = 4,
  // madvise(MADV_POPULATE_WRITE) of [to, to + bytes).
  kUnshare = 5,
  // Does nothing.
  kPing = 6,
};

struct Command {
  Op op = Op::kPing;
  uint32_t id = 0;  // Of the answer.
  uint64_t to = 0;
  uint64_t from = 0;
  uint64_t bytes = 0;
};
static_assert(sizeof(Command) == 32);

struct Reply {
  uint32_t id = 0;
  int32_t error = 0;  // An errno; 0: done.
  // kMove: bytes that were moved, from the start, also if there is an error.
  // Negative values of the kernel's are told as 0.
  uint64_t done = 0;
};
static_assert(sizeof(Reply) == 16);

}  // namespace farswap::launcher

#endif  // FARSWAP_CLIENT_LAUNCHER_PROCESS_WIRE_H_

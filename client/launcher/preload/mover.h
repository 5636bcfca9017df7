// The mover: a thread in each process of a tree, that does for the pager what
// can only be done from inside.
//
// It is made by a raw clone, without CLONE_FILES and CLONE_FS: its descriptor
// table is its own, so the program may close what it likes, and the userfaultfd
// outlives the pager as long as the process does: who faults then waits, rather
// than read zeros, until the mover, which sees the end of its socket at once,
// has ended the process.
//
// It makes raw system calls only, blocks every signal, has no thread-local
// storage (its FS register is its maker's), and gives up ids and capabilities,
// which a program that drops its own could get back from it otherwise.
#ifndef FARSWAP_CLIENT_LAUNCHER_PRELOAD_MOVER_H_
#define FARSWAP_CLIENT_LAUNCHER_PRELOAD_MOVER_H_

#include <cstdint>

#include "client/launcher/process_wire.h"

namespace farswap::launcher {

// Of a process there is one.
struct Mover {
  int socket = -1;  // Connected; the mover has a copy once it runs.
  Hello hello;      // To be said; it fills in its own id.
  char* stack_end = nullptr;
  // Set, and woken (futex), once it has a userfaultfd that it was given.
  uint32_t taken = 0;
};

// Starts it; false: the system has no thread left. `mover` is there as long as
// the process.
bool StartMover(Mover* mover);
// Waits for `taken`.
void AwaitTaken(Mover* mover);
// Ends this process.
[[noreturn]] void EndProcess();
// A line to the file descriptor.
void Say(int fd, const char* line);

}  // namespace farswap::launcher

#endif  // FARSWAP_CLIENT_LAUNCHER_PRELOAD_MOVER_H_

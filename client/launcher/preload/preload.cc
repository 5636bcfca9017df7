// libfarswap-preload.so: what farswap-run puts into each process of its tree,
// by LD_PRELOAD. It starts the mover, and a new one in each forked child.
//
// It is in every process that the tree starts: it costs no more than it must,
// exports nothing, and changes nothing that the program can see.
#include <errno.h>
#include <pthread.h>
#include <sys/auxv.h>

#include "client/launcher/preload/ending.h"
#include "client/launcher/preload/mover.h"
#include "client/launcher/preload/own_memory.h"
#include "client/launcher/preload/raw_calls.h"
#include "client/launcher/preload/say.h"
#include "client/launcher/preload/supervisor.h"
#include "client/launcher/process_wire.h"

namespace farswap::launcher::preload {
namespace {

constexpr int kStderr = 2;

struct Session {
  uint32_t active;  // This process, or the one it is a fork of, has a mover.
  uint32_t paged;   // See Served.
  OwnMemory own;
  Supervisor supervisor;
};

// In .data: .bss may be a mapping of its own without a name, which looks like
// the program's memory, and might be taken out under the mover.
__attribute__((section(".data"))) Session session = {};

[[noreturn]] void DieUnserved(const char* why, int64_t error) {
  Say(kStderr, why, error);
  KillProcess();
}

// What the supervisor has put into the tag page of this child, for which the
// read waits. A page that came of the read itself goes again.
uint64_t ReadTag(const OwnMemory& own) {
  const uint64_t tag = __atomic_load_n(
      reinterpret_cast<uint64_t*>(own.tag_page), __ATOMIC_RELAXED);
  if (tag == 0) ForgetTagPage(own);
  return tag;
}

// Libc's locks may be held here for ever, by threads that the child has not.
void StartInChild() {
  if (session.active == 0) return;
  const uint64_t tag = ReadTag(session.own);
  // The page was registered before anything was taken out: that it is empty is
  // the supervisor's end, and so are zeros all over the memory.
  if (tag == 0 && session.paged != 0) {
    DieUnserved("the pager of this forked child has ended, and so does it", 0);
  }
  int64_t error = MapOwnMemoryInChild(&session.own);
  const bool is_mapped = error == 0;
  if (is_mapped) {
    error = StartMover(session.own, session.supervisor, tag, &session.paged);
  }
  if (error == 0) return;
  if (tag != 0) {
    DieUnserved("this forked child cannot reach its pager, and ends", error);
  }
  if (is_mapped) UnmapOwnMemory(session.own);
  session.active = 0;
  Say(kStderr, "a forked child runs without far memory", error);
}

void StartHere(const char* run) {
  if (!ParseSupervisor(run, &session.supervisor)) {
    Say(kStderr,
        "FARSWAP_RUN is not NAME:SECRET, so this program runs without far "
        "memory; unset it, or start the program by farswap-run",
        0);
    return;
  }
  int64_t error = MapOwnMemory(&session.own);
  if (error == 0) {
    error = StartMover(session.own, session.supervisor, 0, &session.paged);
    if (error != 0) UnmapOwnMemory(session.own);
  }
  if (error == 0) {
    session.active = 1;
    return;
  }
  Say(kStderr,
      "cannot reach the pager that FARSWAP_RUN names, so this program runs "
      "without far memory; unset it, or start the program by farswap-run",
      error);
}

// Linked "initfirst", so before the constructors of all other libraries: a
// fork's handlers run in the order of their registration, and the child's
// other ones may touch far memory.
__attribute__((constructor)) void Start(int /*argc*/, char** /*arguments*/,
                                        char** environment) {
  const char* const run = FindVariable(environment, kRunVariable);
  // A setuid program trusts nothing that its caller has set.
  if (run == nullptr || getauxval(AT_SECURE) != 0) return;
  const int before = errno;
  StartHere(run);
  if (session.active != 0 &&
      pthread_atfork(nullptr, nullptr, StartInChild) != 0) {
    Say(kStderr, "no memory for a handler of forks: its children have no mover",
        0);
  }
  errno = before;
}

}  // namespace
}  // namespace farswap::launcher::preload

#include "client/runtime/fork_handlers.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <new>
#include <vector>

#include "client/runtime/child_watch.h"

// glibc's, which it takes in fork() and lets be taken again; no header has
// them.
extern "C" {
void LockStreams() asm("_IO_list_lock") __attribute__((weak));
void UnlockStreams() asm("_IO_list_unlock") __attribute__((weak));
void ResetStreams() asm("_IO_list_resetlock") __attribute__((weak));
}

namespace farswap::runtime {
namespace {

struct Handled {
  pager::Pager* pager;
  int socket = -1;  // The child's end, while a fork is under way.
};

// A std::mutex, which the child may unlock: nobody else is there to be woken.
struct Handlers {
  std::mutex mu;
  std::vector<Handled> pagers;
  pid_t process = 0;  // That forks.
  sigset_t signals;   // Of its thread.
};

// Never destroyed: a program may fork while it exits. Nor allocated, as a fork
// may be before anything is.
Handlers& TheHandlers() {
  alignas(Handlers) static char place[sizeof(Handlers)];
  static Handlers* const handlers = new (place) Handlers;
  return *handlers;
}

// Whether InChildLate is among the handlers of the fork that this thread is at:
// what is registered while one is under way is not.
thread_local bool late = false;

void BeforeForkLate() { late = true; }

// No handler of the program's runs on this thread in between: it may touch far
// memory, which nobody serves. Nor does glibc's fork() then wait for its list
// of streams, which has to wait for who writes from far memory.
void BeforeFork() {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  if (LockStreams != nullptr) LockStreams();
  Handlers& handlers = TheHandlers();
  handlers.mu.lock();
  handlers.signals = before;
  handlers.process = getpid();
  for (Handled& handled : handlers.pagers) {
    handled.pager->PrepareFork(&handled.socket);
  }
}

void RestoreSignals() {
  late = false;
  const sigset_t before = TheHandlers().signals;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void InParent() {
  if (UnlockStreams != nullptr) UnlockStreams();
  for (Handled& handled : TheHandlers().pagers) {
    if (handled.socket >= 0) close(handled.socket);
    handled.socket = -1;
    handled.pager->ForkDone();
  }
  TheHandlers().mu.unlock();
  RestoreSignals();
}

// Once others have mended what they have to mend after a fork.
void InChildLate() {
  for (const Handled& handled : TheHandlers().pagers) {
    if (handled.socket >= 0) {
      WatchPager(handled.socket, TheHandlers().process);
    }
  }
  // They are the parent's: a child of this child is none of theirs.
  TheHandlers().pagers.clear();
  RestoreSignals();
}

// glibc makes its lock as new only if the parent had several threads.
void InChild() {
  if (ResetStreams != nullptr) ResetStreams();
  pager::Pager::InChild();
  TheHandlers().mu.unlock();
  if (!late) InChildLate();
}

// What is registered first runs last before a fork, and first after it: so no
// other handler waits, in between, for a lock whose holder waits for a page, or
// touches far memory itself. An allocator's own, which it registers at its
// first use, are to come before: ours allocate.
__attribute__((constructor(101))) void RegisterEarly() {
  void* volatile used = malloc(1);  // Else it is left out.
  free(used);
  pthread_atfork(BeforeFork, InParent, InChild);
}

}  // namespace

ForkHandlers::ForkHandlers(pager::Pager* pager) : pager_(pager) {
  static const int once = pthread_atfork(BeforeForkLate, nullptr, InChildLate);
  (void)once;
  const std::lock_guard lock(TheHandlers().mu);
  TheHandlers().pagers.push_back({pager});
}

ForkHandlers::~ForkHandlers() {
  const std::lock_guard lock(TheHandlers().mu);
  std::erase_if(TheHandlers().pagers,
                [&](const Handled& h) { return h.pager == pager_; });
}

}  // namespace farswap::runtime

#include "client/runtime/fork_handlers.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <mutex>
#include <vector>

#include "client/runtime/child_watch.h"

namespace farswap::runtime {
namespace {

struct Handled {
  pager::Pager* pager;
  int socket = -1;  // The child's end, while a fork is under way.
};

// A std::mutex, which the child may unlock: nobody else is there to be woken.
// Never destroyed: a program may fork while it exits.
struct Handlers {
  std::mutex mu;
  std::vector<Handled> pagers;
  pid_t process = 0;  // That forks.
  sigset_t signals;   // Of its thread.
};

Handlers& TheHandlers() {
  static Handlers* const handlers = new Handlers;
  return *handlers;
}

// No handler of the program's runs on this thread in between: it may touch far
// memory, which nobody serves.
void BeforeFork() {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  Handlers& handlers = TheHandlers();
  handlers.mu.lock();
  handlers.signals = before;
  handlers.process = getpid();
  for (Handled& handled : handlers.pagers) {
    handled.pager->PrepareFork(&handled.socket);
  }
}

void RestoreSignals() {
  const sigset_t before = TheHandlers().signals;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void InParent() {
  for (Handled& handled : TheHandlers().pagers) {
    if (handled.socket >= 0) close(handled.socket);
    handled.socket = -1;
    handled.pager->ForkDone();
  }
  TheHandlers().mu.unlock();
  RestoreSignals();
}

void InChild() {
  pager::Pager::InChild();
  TheHandlers().mu.unlock();
  if (TheHandlers().pagers.empty()) RestoreSignals();
}

// Once others have mended what they have to mend after a fork.
void InChildLate() {
  if (TheHandlers().pagers.empty()) return;
  for (const Handled& handled : TheHandlers().pagers) {
    if (handled.socket >= 0) {
      WatchPager(handled.socket, TheHandlers().process);
    }
  }
  // They are the parent's: a child of this child is none of theirs.
  TheHandlers().pagers.clear();
  RestoreSignals();
}

// What is registered first runs last before a fork, and first after it: so no
// other handler waits, in between, for a lock whose holder waits for a page, or
// touches far memory itself.
__attribute__((constructor(101))) void RegisterEarly() {
  pthread_atfork(BeforeFork, InParent, InChild);
}

}  // namespace

ForkHandlers::ForkHandlers(pager::Pager* pager) : pager_(pager) {
  static const int once = pthread_atfork(nullptr, nullptr, InChildLate);
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

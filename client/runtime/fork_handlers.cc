#include "client/runtime/fork_handlers.h"

#include <pthread.h>
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
struct Registry {
  std::mutex mu;
  std::vector<Handled> pagers;
  pid_t process = 0;  // That forks.
};

Registry& TheRegistry() {
  static Registry* const registry = new Registry;
  return *registry;
}

void BeforeFork() {
  TheRegistry().mu.lock();
  TheRegistry().process = getpid();
  for (Handled& handled : TheRegistry().pagers) {
    handled.socket = handled.pager->PrepareFork();
  }
}

void InParent() {
  for (Handled& handled : TheRegistry().pagers) {
    if (handled.socket < 0) continue;
    close(handled.socket);
    handled.socket = -1;
    handled.pager->ForkDone();
  }
  TheRegistry().mu.unlock();
}

void InChild() {
  for (const Handled& handled : TheRegistry().pagers) {
    if (handled.socket >= 0) {
      WatchPager(handled.socket, TheRegistry().process);
    }
  }
  // They are the parent's: a child of this child is none of theirs.
  TheRegistry().pagers.clear();
  TheRegistry().mu.unlock();
}

}  // namespace

ForkHandlers::ForkHandlers(pager::Pager* pager) : pager_(pager) {
  static const int once = pthread_atfork(BeforeFork, InParent, InChild);
  (void)once;
  const std::lock_guard lock(TheRegistry().mu);
  TheRegistry().pagers.push_back({pager});
}

ForkHandlers::~ForkHandlers() {
  const std::lock_guard lock(TheRegistry().mu);
  std::erase_if(TheRegistry().pagers,
                [&](const Handled& h) { return h.pager == pager_; });
}

}  // namespace farswap::runtime

#include "client/pager/thread.h"

#include <pthread.h>
#include <signal.h>

#include <system_error>
#include <utility>

namespace farswap::pager {

std::optional<std::thread> StartThread(const char* name,
                                       std::function<void()> run) {
  // A thread begins with its creator's mask: block first, so that there is no
  // moment without.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::optional<std::thread> thread;
  try {
    thread.emplace(std::move(run));
    pthread_setname_np(thread->native_handle(), name);
  } catch (const std::system_error&) {  // EAGAIN: a limit on threads.
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return thread;
}

}  // namespace farswap::pager

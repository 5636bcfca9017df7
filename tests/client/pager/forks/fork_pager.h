// fork() of a process with one pager, as runtime/fork_handlers.h does it.
#ifndef FARSWAP_TESTS_CLIENT_PAGER_FORKS_FORK_PAGER_H_
#define FARSWAP_TESTS_CLIENT_PAGER_FORKS_FORK_PAGER_H_

#include <sys/types.h>
#include <unistd.h>

#include <functional>

#include "client/pager/pager.h"
#include "client/runtime/child_watch.h"
#include "gtest/gtest.h"

namespace farswap::pager {

// What else happens around a fork.
struct Around {
  std::function<void()> before = [] {};  // Prepared, and not forked.
  std::function<void()> amid = [] {};    // The parent is not done with it.
  std::function<void()> child_first = [] {
  };  // In the child; it is not watched.
};

// As fork(). One at a time.
inline pid_t ForkPager(Pager* pager, const Around& around = {}) {
  int socket = -1;
  pager->PrepareFork(&socket);
  EXPECT_GE(socket, 0);
  around.before();
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child == 0) {
    alarm(100);  // Rather than to hang.
    Pager::InChild();
    around.child_first();
    runtime::WatchPager(socket, parent);
    return 0;
  }
  close(socket);
  around.amid();
  pager->ForkDone();
  return child;
}

}  // namespace farswap::pager

#endif  // FARSWAP_TESTS_CLIENT_PAGER_FORKS_FORK_PAGER_H_

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "client/launcher/process_wire.h"
#include "tests/client/launcher/preload/paged_guest.h"
#include "tests/client/launcher/preload/peer.h"
#include "tests/client/launcher/preload/program.h"

namespace farswap::launcher {
namespace {

// The mover waits for the event of its zap to be read; nobody does that.
TEST_F(PagedGuest, EndsWithItsSupervisorAmidAZap) {
  ASSERT_EQ(MoveOut(0), 0);
  const Command zap{Op::kZap, 7, transit(), 0, kPage};
  ASSERT_TRUE(peer_->Send(&zap, sizeof(zap)));
  ASSERT_TRUE(ReadsSoon(uffd_));  // It waits in there.
  peer_->Close();
  EXPECT_EQ(guest_->Wait(), SIGKILL);
}

// As the mover waits in a fault that nobody answers.
TEST_F(PagedGuest, EndsWithItsSupervisorAmidAnUnshare) {
  ASSERT_EQ(MoveOut(0), 0);
  const Command unshare{Op::kUnshare, 7, memory_, 0, kPage};
  ASSERT_TRUE(peer_->Send(&unshare, sizeof(unshare)));
  ASSERT_TRUE(ReadsSoon(uffd_));
  peer_->Close();
  EXPECT_EQ(guest_->Wait(), SIGKILL);
}

// It names itself when it runs.
bool HasThread(pid_t pid, const std::string& name) {
  const auto limit =
      std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (std::chrono::steady_clock::now() < limit) {
    const std::vector<std::string> names = Threads(pid);
    if (std::find(names.begin(), names.end(), name) != names.end()) return true;
    std::this_thread::yield();
  }
  return false;
}

TEST_F(PagedGuest, IsThereFromTheFirstUserfaultfdOn) {
  EXPECT_TRUE(HasThread(guest_->pid(), "farswap-watch"));
  EXPECT_EQ(Threads(guest_->pid()).size(), 3U);
}

// exit(2) of the last thread, not exit_group(2): see kLookMs.
TEST_F(PagedGuest, DoesNotKeepAProcessWhoseThreadsHaveGone) {
  guest_->Say("raw exit");
  const int status = guest_->Wait();
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 5);
}

TEST(Watcher, AMoverWithoutOneDoesNotEither) {
  const Listener listener;
  Program guest({GuestPath()}, listener.run());
  guest.Say("raw exit");
  const int status = guest.Wait();
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 5);
}

}  // namespace
}  // namespace farswap::launcher

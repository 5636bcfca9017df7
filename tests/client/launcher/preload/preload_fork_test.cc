#include <errno.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <memory>
#include <string>
#include <thread>

#include "client/launcher/process_wire.h"
#include "tests/client/launcher/preload/paged_guest.h"
#include "tests/client/launcher/preload/peer.h"
#include "tests/client/launcher/preload/program.h"

namespace farswap::launcher {
namespace {

constexpr uint64_t kTag = 77;

std::string TagPage() {
  std::string page(kPage, '\0');
  page[0] = static_cast<char>(kTag);
  return page;
}

// Whether the main thread of `pid` is in futex(2) within 20 s.
bool ComesToWait(pid_t pid) {
  const auto limit =
      std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (std::chrono::steady_clock::now() < limit) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/syscall");
    std::string call;
    if (file >> call && call == std::to_string(SYS_futex)) return true;
    std::this_thread::yield();
  }
  return false;
}

class PreloadFork : public PagedGuest {
 protected:
  void TearDown() override {
    PagedGuest::TearDown();
    if (child_uffd_ >= 0) close(child_uffd_);
  }

  // As far as the child's Hello.
  void Fork() {
    taken_ = ReadMemory(guest_->pid(), memory_, kPage);
    ASSERT_EQ(MoveOut(0), 0);
    guest_->Say("fork");
    child_uffd_ = ReadFork(uffd_);
    ASSERT_GE(child_uffd_, 0);
  }

  void Tag() {
    ASSERT_EQ(
        Copy(child_uffd_, peer_->hello().tag_page, TagPage().data(), kPage), 0);
  }

  void ExpectChildEnds() const {
    EXPECT_EQ(guest_->Line(), "status " + std::to_string(SIGKILL));
  }

  std::string taken_;
  int child_uffd_ = -1;
  std::unique_ptr<Peer> child_;
};

TEST_F(PreloadFork, AChildIsServed) {
  Fork();
  Tag();
  child_ = listener_.Accept();
  ASSERT_NE(child_, nullptr);
  EXPECT_EQ(child_->hello().tag, kTag);
  EXPECT_EQ(child_->hello().transit, transit());
  EXPECT_EQ(child_->hello().own_start, peer_->hello().own_start);
  EXPECT_NE(child_->pid(), peer_->pid());
  EXPECT_EQ(child_->Ask(Op::kTakeUffd, 0, 0, 0, child_uffd_), 0);
  ASSERT_EQ(guest_->Line(), "child");
  guest_->Say("check");
  ASSERT_EQ(ReadFault(child_uffd_), memory_);
  ASSERT_EQ(Copy(child_uffd_, memory_, taken_.data(), kPage), 0);
  EXPECT_EQ(guest_->Line(), "0");
}

TEST_F(PreloadFork, APageOfAChildGoesAndComesBack) {
  Fork();
  Tag();
  child_ = listener_.Accept();
  ASSERT_NE(child_, nullptr);
  ASSERT_EQ(child_->Ask(Op::kTakeUffd, 0, 0, 0, child_uffd_), 0);
  ASSERT_EQ(guest_->Line(), "child");
  ASSERT_TRUE(Register(child_uffd_, transit(), kTransitBytes));
  const uint64_t page = memory_ + kPage;
  const std::string before = ReadMemory(child_->pid(), page, kPage);
  EXPECT_EQ(child_->Ask(Op::kMove, transit(), page, kPage), EBUSY);
  EXPECT_EQ(child_->Ask(Op::kUnshare, page, 0, kPage), 0);
  ASSERT_EQ(child_->Ask(Op::kMove, transit(), page, kPage), 0);
  EXPECT_EQ(ReadMemory(child_->pid(), transit(), kPage), before);
  guest_->Say("check");
  ASSERT_EQ(ReadFault(child_uffd_), memory_);
  ASSERT_EQ(Copy(child_uffd_, memory_, taken_.data(), kPage), 0);
  ASSERT_EQ(ReadFault(child_uffd_), page);
  ASSERT_EQ(Copy(child_uffd_, page, before.data(), kPage), 0);
  EXPECT_EQ(guest_->Line(), "0");
}

// It may not run: nobody would end it with its pager.
TEST_F(PreloadFork, AChildWaitsForItsUserfaultfd) {
  Fork();
  Tag();
  child_ = listener_.Accept();
  ASSERT_NE(child_, nullptr);
  ASSERT_EQ(child_->Ask(Op::kPing), 0);
  EXPECT_TRUE(ComesToWait(child_->pid()));
  child_->Close();
  ExpectChildEnds();
}

TEST_F(PreloadFork, AChildWhosePagerHasEndedReadsNothing) {
  Fork();
  // As the kernel does when the pager ends: what is absent is zeros then.
  close(child_uffd_);
  child_uffd_ = -1;
  ExpectChildEnds();
}

TEST_F(PreloadFork, AChildThatReachesNobodyEnds) {
  listener_.Close();
  Fork();
  Tag();
  ExpectChildEnds();
}

TEST(PreloadForkAlone, AChildOfOneThatIsNotPagedForIsItsOwn) {
  const Listener listener;
  const Program guest({GuestPath()}, listener.run());
  const auto peer = listener.Accept();
  ASSERT_NE(peer, nullptr);
  ASSERT_NE(guest.Ask("memory"), "");
  guest.Say("fork");
  const auto child = listener.Accept();
  ASSERT_NE(child, nullptr);
  EXPECT_EQ(guest.Line(), "child");
  EXPECT_EQ(child->hello().tag, 0U);
  EXPECT_EQ(child->hello().own_start, peer->hello().own_start);
  EXPECT_EQ(guest.Ask("check"), "0");
  const int uffd = child->MakeUffd();
  EXPECT_GE(uffd, 0);
  // A child's child, and the page that the read of its tag left behind.
  ASSERT_TRUE(Register(uffd, child->hello().tag_page, kPage));
  EXPECT_EQ(Copy(uffd, child->hello().tag_page, TagPage().data(), kPage), 0);
  close(uffd);
}

}  // namespace
}  // namespace farswap::launcher

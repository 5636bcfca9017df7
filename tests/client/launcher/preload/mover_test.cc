#include <errno.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>

#include "client/launcher/process_wire.h"
#include "tests/client/launcher/preload/paged_guest.h"
#include "tests/client/launcher/preload/peer.h"
#include "tests/client/launcher/preload/program.h"

namespace farswap::launcher {
namespace {

std::string StatusOf(pid_t pid, uint32_t thread) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/task/" +
                     std::to_string(thread) + "/status");
  std::stringstream all;
  all << file.rdbuf();
  return all.str();
}

TEST_F(PagedGuest, APageGoesAndComesBack) {
  const std::string before = ReadMemory(guest_->pid(), memory_, kPage);
  ASSERT_EQ(MoveOut(0), 0);
  const std::string taken = ReadMemory(guest_->pid(), transit(), kPage);
  EXPECT_EQ(taken, before);
  guest_->Say("check");
  ASSERT_EQ(ReadFault(uffd_), memory_);
  ASSERT_EQ(Copy(uffd_, memory_, taken.data(), kPage), 0);
  EXPECT_EQ(guest_->Line(), "0");
}

TEST_F(PagedGuest, TheTransitIsZappedAndUsedAgain) {
  ASSERT_EQ(MoveOut(0), 0);
  ASSERT_EQ(MoveOut(1), EEXIST);
  const Command zap{Op::kZap, 7, transit(), 0, kPage};
  ASSERT_TRUE(peer_->Send(&zap, sizeof(zap)));
  ASSERT_TRUE(ReadRemove(uffd_));
  const auto reply = peer_->Receive();
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->id, 7U);
  EXPECT_EQ(reply->error, 0);
  EXPECT_EQ(MoveOut(1), 0);
}

TEST_F(PagedGuest, AMoveTellsHowFarItCame) {
  ASSERT_EQ(MoveOut(2), 0);
  ASSERT_EQ(peer_->Ask(Op::kMove, transit() + kPage, memory_, kPage), 0);
  // Page 2 is absent, page 0 too; from page 1 one can be moved.
  const Command move{Op::kMove, 8, transit() + 4 * kPage, memory_ + kPage,
                     4 * kPage};
  ASSERT_TRUE(peer_->Send(&move, sizeof(move)));
  const auto reply = peer_->Receive();
  ASSERT_TRUE(reply);
  EXPECT_NE(reply->error, 0);
  EXPECT_EQ(reply->done, kPage);
}

TEST_F(PagedGuest, UnshareOfPresentPages) {
  EXPECT_EQ(peer_->Ask(Op::kUnshare, memory_, 0, kPage), 0);
  EXPECT_EQ(guest_->Ask("check"), "0");
}

TEST_F(PagedGuest, RefusesWhatIsNotTheTransit) {
  const uint64_t end = peer_->hello().own_end;
  EXPECT_EQ(peer_->Ask(Op::kMove, memory_ + kPage, memory_, kPage), EFAULT);
  EXPECT_EQ(peer_->Ask(Op::kMove, end - kPage, memory_, 2 * kPage), EFAULT);
  EXPECT_EQ(peer_->Ask(Op::kMove, end - kPage, memory_, ~kPage), EFAULT);
  EXPECT_EQ(peer_->Ask(Op::kMove, transit(), peer_->hello().tag_page, kPage),
            EFAULT);
  EXPECT_EQ(peer_->Ask(Op::kMove, transit(), peer_->hello().own_start - kPage,
                       2 * kPage),
            EFAULT);
  EXPECT_EQ(peer_->Ask(Op::kZap, memory_, 0, kPage), EFAULT);
  EXPECT_EQ(peer_->Ask(Op::kZap, transit() - kPage, 0, kPage), EFAULT);
  EXPECT_EQ(peer_->Ask(Op::kUnshare, transit(), 0, kPage), EFAULT);
  EXPECT_EQ(
      peer_->Ask(Op::kUnshare, peer_->hello().own_start - kPage, 0, ~kPage),
      EFAULT);
  EXPECT_EQ(guest_->Ask("check"), "0");
}

TEST_F(PagedGuest, RefusesWhatItDoesNotKnow) {
  EXPECT_EQ(peer_->Ask(static_cast<Op>(99)), EINVAL);
  EXPECT_EQ(peer_->Ask(Op::kTakeUffd), EBADF);
  EXPECT_EQ(peer_->Ask(Op::kTakeUffd, 0, 0, 0, uffd_), EEXIST);
  EXPECT_EQ(peer_->MakeUffd(), -1);
  const uint32_t brief[2] = {static_cast<uint32_t>(Op::kPing), 3};
  ASSERT_TRUE(peer_->Send(brief, sizeof(brief)));
  const auto reply = peer_->Receive();
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->error, EINVAL);
  const Command twice[2] = {};
  ASSERT_TRUE(peer_->Send(twice, sizeof(twice)));
  EXPECT_EQ(peer_->Receive()->error, EINVAL);
  EXPECT_EQ(peer_->Ask(Op::kPing), 0);
}

TEST_F(PagedGuest, IsServedWhenTheProgramHasClosedAll) {
  ASSERT_EQ(guest_->Ask("close"), "0");
  ExpectPageReturns(0);
}

TEST_F(PagedGuest, IsServedWhenTheProgramHasGivenUpItsRights) {
  ASSERT_EQ(guest_->Ask("nobody"), "0");
  ExpectPageReturns(0);
}

TEST_F(PagedGuest, IsServedAfterAStop) {
  ASSERT_EQ(kill(guest_->pid(), SIGSTOP), 0);
  int status = 0;
  ASSERT_EQ(waitpid(guest_->pid(), &status, WUNTRACED), guest_->pid());
  ASSERT_TRUE(WIFSTOPPED(status));
  ASSERT_EQ(kill(guest_->pid(), SIGCONT), 0);
  ExpectPageReturns(0);
}

TEST_F(PagedGuest, TheMoverHasNoRightsAndItsOwnDescriptors) {
  const std::string status = StatusOf(peer_->pid(), peer_->hello().mover);
  EXPECT_NE(status.find("Name:\tfarswap-mover"), std::string::npos);
  EXPECT_NE(status.find("CapPrm:\t0000000000000000"), std::string::npos);
  EXPECT_NE(status.find("CapInh:\t0000000000000000"), std::string::npos);
  EXPECT_NE(status.find("NoNewPrivs:\t1"), std::string::npos);
  EXPECT_NE(status.find("SigBlk:\tfffffffffffbfeff"), std::string::npos)
      << status;
  EXPECT_NE(status.find("Uid:\t65534\t65534\t65534\t65534"), std::string::npos);
  const std::string own =
      StatusOf(peer_->pid(), static_cast<uint32_t>(peer_->pid()));
  EXPECT_NE(own.find("NoNewPrivs:\t0"), std::string::npos);
  EXPECT_EQ(guest_->Ask("dumpable"), "1");
}

TEST_F(PagedGuest, EndsWithItsSupervisorAndSaysSo) {
  peer_->Close();
  const int status = guest_->Wait();
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGKILL);
  EXPECT_EQ(guest_->Errors(),
            "farswap: the pager of this program has ended, and so does it\n");
}

}  // namespace
}  // namespace farswap::launcher

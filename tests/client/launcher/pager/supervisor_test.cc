#include "client/launcher/pager/supervisor.h"

#include <signal.h>

#include <fstream>
#include <string>

#include "gtest/gtest.h"
#include "tests/client/launcher/pager/program.h"
#include "tests/client/launcher/pager/tree_fixture.h"

namespace farswap::launcher {
namespace {

using program::kRight;

constexpr uint64_t kLimit = 32 * kMiB;
constexpr int kMuch = 96;  // MiB: three times that.

// 5 % and 32 MiB.
constexpr uint64_t kBound = kLimit + kLimit / 20 + 32 * kMiB;

class SupervisorTest : public TreeTest {
 protected:
  void SetUp() override { Start(kLimit); }
  // It did go out, and came back.
  void ExpectFar() {
    const pager::PagerStats stats = pager_->Stats();
    EXPECT_GT(stats.remote_peak_bytes, kLimit / 2);
    EXPECT_GT(stats.refaults, 0U);
    EXPECT_EQ(stats.pages_lost, 0U);
    EXPECT_LE(peak_bytes(), kBound);
  }
};

class ProgramTest : public SupervisorTest,
                    public testing::WithParamInterface<const char*> {};

TEST_P(ProgramTest, EveryByteIsRight) {
  EXPECT_EQ(Run(GetParam(), kMuch), kRight);
  ExpectFar();
}

INSTANTIATE_TEST_SUITE_P(All, ProgramTest,
                         testing::Values("touch", "grow", "pieces", "discard",
                                         "huge", "nohuge", "closeall", "setids",
                                         "protect", "lock", "mainends", "exec",
                                         "direct", "orphan"),
                         [](const auto& info) {
                           return std::string(info.param);
                         });

class UringTest : public SupervisorTest,
                  public testing::WithParamInterface<const char*> {};

TEST_P(UringTest, EveryByteIsRight) {
  int disabled = 0;
  std::ifstream("/proc/sys/kernel/io_uring_disabled") >> disabled;
  if (disabled == 2) GTEST_SKIP() << "NOT TESTED: io_uring is disabled";
  EXPECT_EQ(Run(GetParam(), kMuch), kRight);
  ExpectFar();
}

INSTANTIATE_TEST_SUITE_P(All, UringTest,
                         testing::Values("uring", "uringdirect", "uringpoll",
                                         "uringfixed"),
                         [](const auto& info) {
                           return std::string(info.param);
                         });

TEST_F(SupervisorTest, ForkedChildrenAndTheirParents) {
  EXPECT_EQ(Run("fork", 48), kRight);
  ExpectFar();
  EXPECT_EQ(pager_->Stats().forks, 2U);
}

// It has no mover, so nothing is taken out of it; but it has every byte.
TEST_F(SupervisorTest, ARawCloneIsServed) {
  EXPECT_EQ(Run("rawclone", 48), kRight);
  EXPECT_EQ(pager_->Stats().pages_lost, 0U);
}

TEST_F(SupervisorTest, ThreadsComeAndGo) {
  EXPECT_EQ(Run("threads", 48), kRight);
  ExpectFar();
}

TEST_F(SupervisorTest, AStoppedProcessKeepsNobodyWaiting) {
  const pid_t stopped = SpawnProgram("stop", kMuch);
  ASSERT_TRUE(AwaitStop(stopped));
  EXPECT_EQ(Run("touch", kMuch), kRight);
  kill(stopped, SIGCONT);
  EXPECT_EQ(Await(stopped), kRight);
  ExpectFar();
}

TEST_F(SupervisorTest, SeveralAtATimeShareTheLimit) {
  const pid_t one = SpawnProgram("touch", 48);
  const pid_t two = SpawnProgram("grow", 48);
  EXPECT_EQ(Await(one), kRight);
  EXPECT_EQ(Await(two), kRight);
  ExpectFar();
}

TEST_F(SupervisorTest, AProgramThatNeedsLittleStaysAsItIs) {
  EXPECT_EQ(Run("touch", 8), kRight);
  EXPECT_EQ(pager_->Stats().faults, 0U);
}

// While it becomes far it grows on: what it has then is counted once.
TEST_F(SupervisorTest, AProgramUnderItsLimitKeepsAllItHas) {
  for (int turn = 0; turn < 8; ++turn) EXPECT_EQ(Run("touch", 24), kRight);
  const pager::PagerStats stats = pager_->Stats();
  EXPECT_GT(stats.resident_peak_bytes, kLimit / 2);
  EXPECT_EQ(stats.swpout_bytes + stats.swpout_zero, 0U);
}

TEST_F(SupervisorTest, WhatExitsLeavesNothing) {
  EXPECT_EQ(Run("touch", 48), kRight);
  EXPECT_TRUE(Eventually([&] { return pager_->IsIdle(); }));
}

TEST_F(SupervisorTest, TheEndOfTheTreeIsTheEnd) {
  SayBye();
  EXPECT_EQ(Run("touch", 8), kRight);
  AwaitEnd();
  EXPECT_EQ(ended_well_, true);
}

}  // namespace
}  // namespace farswap::launcher

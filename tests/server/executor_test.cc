#include "server/executor.h"

#include <gtest/gtest.h>

#include <atomic>

namespace farswap::server {
namespace {

// Work that a thread of the executor is busy with until it is let go.
class Blocker {
 public:
  explicit Blocker(Executor* executor) {
    EXPECT_TRUE(executor->Submit([this](bool run) {
      EXPECT_TRUE(run);
      MutexLock lock(&mu_);
      started_ = true;
      changed_.SignalAll();
      while (!let_go_) changed_.Wait(&mu_);
    }));
    MutexLock lock(&mu_);
    while (!started_) changed_.Wait(&mu_);
  }
  void LetGo() {
    MutexLock lock(&mu_);
    let_go_ = true;
    changed_.SignalAll();
  }

 private:
  Mutex mu_;
  CondVar changed_;
  bool started_ ABSL_GUARDED_BY(mu_) = false;
  bool let_go_ ABSL_GUARDED_BY(mu_) = false;
};

TEST(ExecutorTest, WhatIsQueuedAtTheEndIsAbandonedNotRun) {
  Executor executor(1, 10);
  Blocker blocker(&executor);
  std::atomic<int> run{0}, abandoned{0};
  const auto count = [&](bool is_run) { ++(is_run ? run : abandoned); };
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(executor.Submit(count));
  executor.Abandon();
  EXPECT_EQ(abandoned, 5);
  EXPECT_TRUE(executor.Submit(count));
  EXPECT_EQ(abandoned, 6);
  blocker.LetGo();
  executor.Stop();
  EXPECT_EQ(run, 0);
}

TEST(ExecutorTest, RefusesMoreThanItsQueueHolds) {
  Executor executor(1, 2);
  Blocker blocker(&executor);
  std::atomic<int> run{0};
  const auto count = [&](bool is_run) { run += is_run ? 1 : 0; };
  EXPECT_TRUE(executor.Submit(count));
  EXPECT_TRUE(executor.Submit(count));
  EXPECT_FALSE(executor.Submit(count));
  blocker.LetGo();
  while (run != 2) std::this_thread::yield();
}

}  // namespace
}  // namespace farswap::server

// The chaos program at 4:1 overcommit, over a transport in memory, while that
// is slow, answers nothing, or forgets everything. Every page reads as what was
// last written, or raises SIGBUS under a lost server.
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <mutex>
#include <random>
#include <string>
#include <thread>

#include "client/pager/hints.h"
#include "tests/chaos/chaos_program.h"
#include "tests/chaos/far_memory.h"
#include "tests/client/pager/forks/fork_pager.h"
#include "tests/client/pager/pager_fixture.h"
#include "tests/client/runtime/privilege.h"

namespace farswap::pager {
namespace {

using chaos::Program;

class PagerMemory final : public chaos::FarMemory {
 public:
  PagerMemory(Pager* pager, Region* region) : pager_(*pager), region_(region) {}

  char* address() const override { return region_->address(); }
  bool Pin(uint64_t offset, uint64_t bytes) override {
    return pager_.hints().Pin(region_, offset, bytes).ok();
  }
  bool Unpin(uint64_t offset, uint64_t bytes) override {
    return pager_.hints().Unpin(region_, offset, bytes).ok();
  }
  bool Prefetch(uint64_t offset, uint64_t bytes) override {
    return pager_.hints().Prefetch(region_, offset, bytes).ok();
  }
  bool Cold(uint64_t offset, uint64_t bytes) override {
    return pager_.hints().Cold(region_, offset, bytes).ok();
  }
  bool Discard(uint64_t offset, uint64_t bytes) override {
    return pager_.hints().Discard(region_, offset, bytes).ok();
  }

  // As runtime/fork_handlers.h does it.
  pid_t Fork(bool*) override {
    const std::lock_guard one_at_a_time(forking_);
    return ForkPager(&pager_);
  }

 private:
  Pager& pager_;
  Region* const region_;
  std::mutex forking_;
};

class ChaosTest : public PagerTest {
 protected:
  void SetUp() override {
    seed_ = chaos::PickSeed();
    RecordProperty("seed", std::to_string(seed_));
  }

  void Run(bool lossy);
  void RunRound(bool lossy, uint64_t seed);
  void Director(bool lossy, uint64_t seed);

  uint64_t seed_ = 0;
  chaos::SharedCounts counts_;
  std::atomic<bool> stop_{false};
};

void ChaosTest::Director(bool lossy, uint64_t seed) {
  std::mt19937_64 random(seed + Program::kThreads);
  while (!stop_) {
    const Call call =
        std::array{Call::kGet, Call::kPut, Call::kAllocate}[random() % 3];
    switch (random() % 4) {
      case 0:
        transport_->Hold(call);
        std::this_thread::sleep_for(std::chrono::milliseconds(random() % 100));
        transport_->Release(call);
        break;
      case 1:
        pager_->PageOut(regions_[0]).IgnoreError();
        break;
      case 2:
        transport_->CorruptNextGets(1);
        break;
      default:
        if (lossy) transport_->LoseContents();
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(random() % 200));
  }
}

void ChaosTest::RunRound(bool lossy, uint64_t seed) {
  ASSERT_NE(AddRegion(Program::kBytes), nullptr);
  PagerMemory memory(pager_.get(), regions_[0]);
  Program program(&memory, seed, lossy, MayFork(), counts_.get());
  program.Start();
  stop_ = false;
  std::thread director([&] { Director(lossy, seed); });
  std::this_thread::sleep_for(chaos::kRound);
  stop_ = true;
  director.join();
  program.Stop();
  EXPECT_TRUE(pager_->DestroyRegion(regions_[0]).ok());
  regions_.clear();
}

void ChaosTest::Run(bool lossy) {
  Start(Program::kLimit, /*max_clusters=*/256);
  for (int round = 0; round < chaos::Rounds() && !HasFailure(); ++round) {
    RunRound(lossy, seed_ + round * 1000);
    EXPECT_EQ(counts_->wrong, 0u) << "round " << round;
  }
  chaos::Print(*counts_);
  const PagerStats stats = pager_->Stats();
  std::printf("%llu faults, %llu pages lost\n",
              static_cast<unsigned long long>(stats.faults),
              static_cast<unsigned long long>(stats.pages_lost));
  EXPECT_GT(counts_->moves, 10u);
  if (MayFork()) {
    EXPECT_GT(counts_->forks, 5u);
  } else {
    std::printf("NOT TESTED: forks; no privilege to be told, or ASan\n");
  }
  EXPECT_GT(stats.faults, 100u);
  EXPECT_GT(stats.swpin_bytes, 0u);
}

TEST_F(ChaosTest, ASlowServerLosesNothing) {
  Run(/*lossy=*/false);
  EXPECT_EQ(counts_->sigbus, 0u);
  EXPECT_EQ(pager_->Stats().pages_lost, 0u);
}

TEST_F(ChaosTest, AServerThatForgetsIsSigbusNeverOldBytes) {
  Run(/*lossy=*/true);
  EXPECT_GT(counts_->sigbus, 0u);
}

}  // namespace
}  // namespace farswap::pager

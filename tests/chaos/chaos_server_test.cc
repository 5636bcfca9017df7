// The chaos program at 4:1 overcommit, linked as programs are, with a real
// farswap-server that is stopped, killed, ended and started again.
//
// With its pool and its metadata nothing is lost, however long it takes: no
// SIGBUS, no wrong byte. When its pool is lost, cut short, an older one, or has
// other bytes in it, what was there raises SIGBUS: never zeros, never old
// bytes; and what was local then or is written after it is right.
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <random>
#include <string>

#include "client/runtime/farswap.h"
#include "tests/chaos/chaos_program.h"
#include "tests/chaos/far_memory.h"
#include "tests/chaos/server_trouble.h"
#include "tests/client/runtime/privilege.h"

namespace farswap::chaos {
namespace {

// So long that no fault's passes: what is SIGBUS is lost.
constexpr uint64_t kDeadlineMs = 30 * 60 * 1000;
// Little more than all of the memory, so that the server refuses clusters.
constexpr char kCapacity[] = "96MiB";

class ApiMemory final : public FarMemory {
 public:
  explicit ApiMemory(farswap_region* region) : region_(region) {}

  char* address() const override {
    return static_cast<char*>(farswap_region_address(region_));
  }
  bool Pin(uint64_t offset, uint64_t bytes) override {
    return farswap_region_pin(region_, offset, bytes) == 0;
  }
  bool Unpin(uint64_t offset, uint64_t bytes) override {
    return farswap_region_unpin(region_, offset, bytes) == 0;
  }
  bool Prefetch(uint64_t offset, uint64_t bytes) override {
    return farswap_region_prefetch(region_, offset, bytes) == 0;
  }
  bool Cold(uint64_t offset, uint64_t bytes) override {
    return farswap_region_cold(region_, offset, bytes) == 0;
  }
  bool Discard(uint64_t offset, uint64_t bytes) override {
    return farswap_region_discard(region_, offset, bytes) == 0;
  }
  pid_t Fork(bool*) override { return fork(); }

 private:
  farswap_region* const region_;
};

class ChaosServerTest : public testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;
  void OpenClient();
  void MakeRegion();
  farswap_stats Stats() const;

  void Run(bool lossy);
  // Runs the program and, on this thread, what is done to the server: that
  // ends with the thread that started it.
  void RunRound(bool lossy, uint64_t seed);
  void Disturb();

  uint64_t seed_ = 0;
  std::mt19937_64 random_;
  std::unique_ptr<ServerTrouble> trouble_;
  farswap_client* client_ = nullptr;
  farswap_group* group_ = nullptr;
  farswap_region* region_ = nullptr;
  SharedCounts counts_;
};

void ChaosServerTest::SetUp() {
  if (!HasUserfaultfd()) {
    GTEST_SKIP() << "NOT TESTED: no privilege for userfaultfd; run as root";
  }
  seed_ = PickSeed();
  RecordProperty("seed", std::to_string(seed_));
  random_.seed(seed_ + Program::kThreads);
}

void ChaosServerTest::OpenClient() {
  farswap_client_options options;
  farswap_client_options_init(&options, sizeof(options));
  options.servers = trouble_->address().c_str();
  options.fault_deadline_ms = kDeadlineMs;
  options.staging_bytes = 8 << 20;
  ASSERT_EQ(farswap_client_open(&options, &client_), 0) << farswap_last_error();
  farswap_group_options limit;
  farswap_group_options_init(&limit, sizeof(limit));
  limit.local_limit = Program::kLimit;
  ASSERT_EQ(farswap_group_create(client_, &limit, &group_), 0)
      << farswap_last_error();
}

void ChaosServerTest::MakeRegion() {
  farswap_region_options wanted;
  farswap_region_options_init(&wanted, sizeof(wanted));
  wanted.bytes = Program::kBytes;
  ASSERT_EQ(farswap_region_create(group_, &wanted, &region_), 0)
      << farswap_last_error();
}

farswap_stats ChaosServerTest::Stats() const {
  farswap_stats stats = {};
  stats.size = sizeof(stats);
  EXPECT_EQ(farswap_client_stats(client_, &stats), 0);
  return stats;
}

void ChaosServerTest::TearDown() {
  if (group_ == nullptr) return;
  EXPECT_EQ(Stats().resident_bytes, 0u);
  EXPECT_EQ(Stats().remote_bytes, 0u);
  EXPECT_EQ(farswap_group_destroy(group_), 0) << farswap_last_error();
  EXPECT_EQ(farswap_client_close(client_), 0) << farswap_last_error();
}

void ChaosServerTest::Disturb() {
  if (random_() % 8 != 0) return trouble_->Make();
  // So that what is lost is not all in use.
  farswap_region_cold(region_, 0, Program::kBytes);
}

void ChaosServerTest::RunRound(bool lossy, uint64_t seed) {
  const auto until = std::chrono::steady_clock::now() + kRound;
  ASSERT_NO_FATAL_FAILURE(MakeRegion());
  ApiMemory memory(region_);
  Program program(&memory, seed, lossy, MayFork(), counts_.get());
  program.Start();
  while (std::chrono::steady_clock::now() < until && !HasFailure()) {
    trouble_->SleepAtMost(500);
    Disturb();
  }
  // Once for certain, and then every page is read.
  farswap_region_cold(region_, 0, Program::kBytes);
  trouble_->Kill();
  program.Stop();
  EXPECT_EQ(counts_->wrong, 0u);
  EXPECT_EQ(farswap_region_destroy(region_), 0) << farswap_last_error();
}

void ChaosServerTest::Run(bool lossy) {
  trouble_ = std::make_unique<ServerTrouble>(seed_, kCapacity, lossy);
  ASSERT_TRUE(trouble_->Start());
  ASSERT_NO_FATAL_FAILURE(OpenClient());
  for (int round = 0; round < Rounds() && !HasFailure(); ++round) {
    RunRound(lossy, seed_ + round * 1000);
  }
  Print(*counts_);
  const farswap_stats stats = Stats();
  trouble_->Print();
  std::printf(
      "%llu faults, %llu MiB in, %llu MiB out, %llu retries, %llu checksum "
      "errors, %llu pages lost\n",
      static_cast<unsigned long long>(stats.faults),
      static_cast<unsigned long long>(stats.swpin_bytes >> 20),
      static_cast<unsigned long long>(stats.swpout_bytes >> 20),
      static_cast<unsigned long long>(stats.retries),
      static_cast<unsigned long long>(stats.checksum_errors),
      static_cast<unsigned long long>(stats.pages_lost));
  EXPECT_GT(counts_->moves, 10u);
  if (MayFork()) {
    EXPECT_GT(counts_->forks, 2u);
  } else {
    std::printf("NOT TESTED: forks; no privilege to be told, or ASan\n");
  }
  EXPECT_GT(stats.retries, 0u);
  EXPECT_GT(stats.swpin_bytes, 0u);
  EXPECT_GT(stats.swpout_bytes, Program::kBytes - Program::kLimit);
}

TEST_F(ChaosServerTest, KilledWithItsPoolItLosesNothing) {
  Run(/*lossy=*/false);
  EXPECT_EQ(counts_->sigbus, 0u);
  EXPECT_EQ(Stats().pages_lost, 0u);
  EXPECT_EQ(Stats().checksum_errors, 0u);
}

TEST_F(ChaosServerTest, KilledWithoutItIsSigbusNeverZerosNeverOldBytes) {
  Run(/*lossy=*/true);
  EXPECT_GT(counts_->sigbus, 0u);
  EXPECT_GT(Stats().pages_lost, 0u);
}

}  // namespace
}  // namespace farswap::chaos

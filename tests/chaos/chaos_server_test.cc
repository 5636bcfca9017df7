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
#include <thread>

#include "client/runtime/farswap.h"
#include "tests/chaos/chaos_program.h"
#include "tests/chaos/far_memory.h"
#include "tests/chaos/pool_damage.h"
#include "tests/client/remote/server_process.h"
#include "tests/client/runtime/privilege.h"

namespace farswap::chaos {
namespace {

using std::chrono::milliseconds;

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
  pid_t Fork() override { return fork(); }

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
  void Disturb(bool lossy);
  void Delay();
  void Restart(bool lossy);
  void StartAgain(bool lossy);

  int Any(int n) { return static_cast<int>(random_() % n); }
  void Sleep(int most_ms) {
    std::this_thread::sleep_for(milliseconds(Any(most_ms)));
  }

  uint64_t seed_ = 0;
  std::mt19937_64 random_;
  std::unique_ptr<remote::ServerProcess> server_;
  std::unique_ptr<PoolDamage> pool_;
  farswap_client* client_ = nullptr;
  farswap_group* group_ = nullptr;
  farswap_region* region_ = nullptr;
  SharedCounts counts_;
  int delays_ = 0;
  int kills_ = 0;
  int ends_ = 0;
  int losses_ = 0;
};

void ChaosServerTest::SetUp() {
  if (!HasUserfaultfd()) {
    GTEST_SKIP() << "NOT TESTED: no privilege for userfaultfd; run as root";
  }
  seed_ = PickSeed();
  RecordProperty("seed", std::to_string(seed_));
  random_.seed(seed_ + Program::kThreads);
  const bool unix_socket = seed_ % 2 != 0;
  server_ = std::make_unique<remote::ServerProcess>(unix_socket, kCapacity);
  ASSERT_TRUE(server_->Start());
  pool_ = std::make_unique<PoolDamage>(server_->pool());
  OpenClient();
}

void ChaosServerTest::OpenClient() {
  farswap_client_options options;
  farswap_client_options_init(&options, sizeof(options));
  options.servers = server_->address().c_str();
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

void ChaosServerTest::Delay() {
  server_->Stop();
  // Mostly short; sometimes as long as what the server takes for a machine
  // that stood still.
  Sleep(Any(8) == 0 ? 3000 : 400);
  server_->Continue();
  ++delays_;
}

void ChaosServerTest::Restart(bool lossy) {
  if (Any(4) == 0) {
    ++ends_;
    EXPECT_TRUE(server_->Terminate());
    return StartAgain(lossy);
  }
  ++kills_;
  server_->Kill();
  StartAgain(lossy);
}

void ChaosServerTest::StartAgain(bool lossy) {
  const char* const pool = lossy ? pool_->Lose(&random_) : "kept";
  Sleep(300);
  ASSERT_TRUE(server_->Start());
  if (lossy) {
    ++losses_;
    std::printf("the pool is %s: the server %s\n", pool,
                server_->Continues() ? "continues" : "begins anew");
  } else {
    EXPECT_TRUE(server_->Continues());
  }
}

void ChaosServerTest::Disturb(bool lossy) {
  switch (Any(8)) {
    case 0:
    case 1:
      return Delay();
    case 2:
      // So that what is lost is not all in use.
      farswap_region_cold(region_, 0, Program::kBytes);
      return;
    case 3:
      if (lossy) return pool_->Save();
      return Restart(lossy);
    case 4:
    case 5:
      if (lossy) return pool_->FlipBytes(&random_);
      return Restart(lossy);
    default:
      // Not too often: what is lost must first have been written again.
      if (!lossy || Any(2) == 0) Restart(lossy);
  }
}

void ChaosServerTest::RunRound(bool lossy, uint64_t seed) {
  const auto until = std::chrono::steady_clock::now() + kRound;
  ASSERT_NO_FATAL_FAILURE(MakeRegion());
  ApiMemory memory(region_);
  Program program(&memory, seed, lossy, MayFork(), counts_.get());
  program.Start();
  while (std::chrono::steady_clock::now() < until && !HasFailure()) {
    Sleep(500);
    Disturb(lossy);
  }
  // Once for certain, and then every page is read.
  farswap_region_cold(region_, 0, Program::kBytes);
  ++kills_;
  server_->Kill();
  StartAgain(lossy);
  program.Stop();
  EXPECT_EQ(counts_->wrong, 0u);
  EXPECT_EQ(farswap_region_destroy(region_), 0) << farswap_last_error();
}

void ChaosServerTest::Run(bool lossy) {
  for (int round = 0; round < Rounds() && !HasFailure(); ++round) {
    RunRound(lossy, seed_ + round * 1000);
  }
  Print(*counts_);
  const farswap_stats stats = Stats();
  std::printf(
      "%d delays, %d kills, %d ends, %d pools lost; %llu faults, %llu MiB "
      "in, %llu MiB out, %llu retries, %llu checksum errors, %llu pages lost\n",
      delays_, kills_, ends_, losses_,
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

// What the kernel's smaps shows of a region: its resident memory while four
// threads want four times the local limit, and its huge pages.
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "client/runtime/farswap.h"
#include "client/runtime/private_server.h"
#include "common/units.h"
#include "tests/client/runtime/privilege.h"
#include "tests/integration/smaps_sampler.h"

namespace farswap {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kLimit = 64 * kMiB;
constexpr uint64_t kRegion = 4 * kLimit;
constexpr uint64_t kStaging = 32 * kMiB;
constexpr int kThreads = 4;
constexpr uint64_t kPagesEach = kRegion / kPageBytes / kThreads;
constexpr int kRandomPages = 3000;

// A part of the region, for one thread: each page holds words that depend on
// the page and on how often it was written, and do not compress.
class Part {
 public:
  Part(char* region, uint64_t first_page, uint64_t pages)
      : words_(reinterpret_cast<uint64_t*>(region + first_page * kPageBytes)),
        first_page_(first_page),
        random_(first_page),
        times_(pages) {}

  void Run() {
    WriteAll();
    for (int i = 0; i < kRandomPages; ++i) {
      const uint64_t page = random_() % times_.size();
      Check(page);
      if (i % 2 == 0) Write(page);
    }
    CheckAll();
  }
  void WriteAll() {
    for (uint64_t page = 0; page < times_.size(); ++page) Write(page);
  }
  void CheckAll() {
    for (uint64_t page = 0; page < times_.size(); ++page) Check(page);
  }

  uint64_t wrong_words() const { return wrong_words_; }

 private:
  static constexpr uint64_t kWords = kPageBytes / sizeof(uint64_t);

  uint64_t Word(uint64_t page, uint64_t i) const {
    return ((first_page_ + page) * kWords + i + 1 + (times_[page] << 40)) *
           0x9e3779b97f4a7c15;
  }
  void Write(uint64_t page) {
    ++times_[page];
    for (uint64_t i = 0; i < kWords; ++i) {
      words_[page * kWords + i] = Word(page, i);
    }
  }
  void Check(uint64_t page) {
    for (uint64_t i = 0; i < kWords; ++i) {
      wrong_words_ += words_[page * kWords + i] != Word(page, i) ? 1 : 0;
    }
  }

  uint64_t* const words_;
  const uint64_t first_page_;
  std::mt19937_64 random_;
  std::vector<uint64_t> times_;  // Written, by page.
  uint64_t wrong_words_ = 0;
};

class LocalLimitTest : public testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    if (!HasUserfaultfd()) {
      GTEST_SKIP() << "NOT TESTED: no privilege for userfaultfd; run as root";
    }
    runtime::PrivateServerOptions options;
    options.capacity_bytes = 2 * kRegion;
    auto server = runtime::PrivateServer::Start(options);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    OpenClient();
  }

  void OpenClient() {
    farswap_client_options options;
    farswap_client_options_init(&options, sizeof(options));
    options.servers = server_->address().c_str();
    options.staging_bytes = kStaging;
    ASSERT_EQ(farswap_client_open(&options, &client_), 0)
        << farswap_last_error();
    farswap_group_options limit;
    farswap_group_options_init(&limit, sizeof(limit));
    limit.local_limit = kLimit;
    ASSERT_EQ(farswap_group_create(client_, &limit, &group_), 0)
        << farswap_last_error();
    farswap_region_options wanted;
    farswap_region_options_init(&wanted, sizeof(wanted));
    wanted.bytes = kRegion;
    wanted.huge = GetParam();
    ASSERT_EQ(farswap_region_create(group_, &wanted, &region_), 0)
        << farswap_last_error();
  }

  void TearDown() override {
    // Handles that were never made are -EINVAL, and the skip or the failure
    // has been reported.
    if (client_ == nullptr) return;
    EXPECT_EQ(farswap_region_destroy(region_), 0) << farswap_last_error();
    EXPECT_EQ(farswap_group_destroy(group_), 0) << farswap_last_error();
    EXPECT_EQ(farswap_client_close(client_), 0) << farswap_last_error();
  }

  char* data() const {
    return static_cast<char*>(farswap_region_address(region_));
  }

  farswap_stats Stats() const {
    farswap_stats stats = {};
    stats.size = sizeof(stats);
    EXPECT_EQ(farswap_client_stats(client_, &stats), 0);
    return stats;
  }

  // Returns how many words were not what was last written.
  uint64_t Churn() {
    std::vector<Part> quarters;
    for (int i = 0; i < kThreads; ++i) {
      quarters.emplace_back(data(), i * kPagesEach, kPagesEach);
    }
    std::vector<std::thread> threads;
    for (Part& quarter : quarters) {
      threads.emplace_back([&quarter] { quarter.Run(); });
    }
    for (std::thread& thread : threads) thread.join();
    uint64_t wrong = 0;
    for (const Part& quarter : quarters) wrong += quarter.wrong_words();
    return wrong;
  }

  std::unique_ptr<runtime::PrivateServer> server_;
  farswap_client* client_ = nullptr;
  farswap_group* group_ = nullptr;
  farswap_region* region_ = nullptr;
};

TEST_P(LocalLimitTest, IsKeptWhileFourThreadsWantFourTimesAsMuch) {
  SmapsSampler sampler(data(), kRegion, kLimit / 2);
  EXPECT_EQ(Churn(), 0u);
  sampler.Stop();
  const farswap_stats stats = Stats();
  const uint64_t peak = sampler.peak().resident_bytes;
  RecordProperty("peak_kib", std::to_string(peak >> 10));
  RecordProperty("busy_samples", std::to_string(sampler.busy_samples()));
  EXPECT_LE(peak, kLimit + kLimit / 20 + kStaging);
  // Otherwise nothing was tested: little was resident, or few looks taken.
  EXPECT_GT(peak, kLimit / 2);
  EXPECT_GE(sampler.busy_samples(), 50u);
  EXPECT_GE(stats.swpout_bytes, kRegion - kLimit - kStaging);
  EXPECT_GE(stats.swpin_bytes, kRegion - kLimit - kStaging);
  // The library's own figure hides nothing of what the kernel shows, but what
  // was being mapped for each thread, and moved while smaps was being read.
  EXPECT_LE(peak, stats.resident_peak_bytes + 2 * kThreads * kPmdBytes);
}

INSTANTIATE_TEST_SUITE_P(HugeOrNot, LocalLimitTest, testing::Values(0, 1));

class HugeTest : public LocalLimitTest {};

// After a pass over four times the limit, all that is resident came back from
// the server: what is mapped huge then was swapped in huge.
TEST_P(HugeTest, BlocksThatComeBackAreMappedHuge) {
  Part all(data(), 0, kRegion / kPageBytes);
  all.WriteAll();
  const farswap_stats before = Stats();
  all.CheckAll();
  EXPECT_EQ(all.wrong_words(), 0u);
  const Smaps now = ReadSmaps(data(), kRegion);
  const farswap_stats after = Stats();
  EXPECT_GE(now.resident_bytes, kLimit / 2);
  EXPECT_GE(now.huge_bytes, now.resident_bytes * 9 / 10);
  const uint64_t blocks = after.thp_swpin - before.thp_swpin;
  EXPECT_GE(blocks * kPmdBytes, (kRegion - kLimit) * 9 / 10);
}

INSTANTIATE_TEST_SUITE_P(Huge, HugeTest, testing::Values(1));

}  // namespace
}  // namespace farswap

// The fake behaves as the seam says, and its faults are what they claim.
#include "tests/client/remote/memory_transport.h"

#include <algorithm>
#include <atomic>
#include <string>
#include <thread>

#include "gtest/gtest.h"
#include "tests/client/remote/waiting_put.h"

namespace farswap::remote {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

Deadline In(std::chrono::steady_clock::duration time) {
  return std::chrono::steady_clock::now() + time;
}

class MemoryTransportTest : public testing::Test {
 protected:
  core::ClusterGrant Allocate() {
    auto grants = transport_.AllocateClusters(1, In(seconds(30)));
    EXPECT_TRUE(grants.ok()) << grants.status();
    return grants->front();
  }
  void Start(WaitingPut* put, const core::ClusterGrant& grant, uint32_t slot,
             int order, const std::string& bytes) {
    put->Start(&transport_, {grant, slot, order}, bytes);
  }
  absl::StatusOr<std::string> Get(const FolioRef& ref,
                                  Deadline deadline = In(seconds(30))) {
    std::string bytes(BytesOf(ref.order), '?');
    absl::Status status =
        transport_.Get({&ref, 1}, absl::MakeSpan(bytes), deadline);
    if (!status.ok()) return status;
    return bytes;
  }

  MemoryTransport transport_{{.max_clusters = 3, .max_puts = 4}};
};

TEST_F(MemoryTransportTest, KeepsBytesByOrder) {
  const core::ClusterGrant grant = Allocate();
  EXPECT_EQ(*Get({grant, 0, 0}), std::string(kPageBytes, '\0'));
  for (int order = 0; order <= kMaxOrder; ++order) {
    const uint32_t slot = order == kMaxOrder ? 0 : PagesOf(order);
    const std::string bytes(BytesOf(order), static_cast<char>('a' + order));
    WaitingPut put;
    Start(&put, grant, slot, order, bytes);
    ASSERT_TRUE(put.Wait().ok());
    EXPECT_EQ(put.thread_id(), transport_.ThreadIds().at(0));
    EXPECT_NE(put.thread_id(), gettid());
    ASSERT_EQ(*Get({grant, slot, order}), bytes);
  }
  for (int order = 0; order <= kMaxOrder; ++order) {
    EXPECT_EQ(transport_.counters().puts[order], 1u);
    EXPECT_EQ(transport_.counters().gets[order], order == 0 ? 2u : 1u);
  }
}

TEST_F(MemoryTransportTest, GrantsEndAndComeBack) {
  auto grants = transport_.AllocateClusters(5, In(seconds(30)));
  ASSERT_EQ(grants->size(), 3u);
  EXPECT_EQ(transport_.AllocateClusters(1, In(seconds(30))).status().code(),
            absl::StatusCode::kResourceExhausted);
  ASSERT_TRUE(
      transport_.FreeClusters({&grants->front(), 1}, In(seconds(30))).ok());
  EXPECT_EQ(Get({grants->front(), 0, 0}).status().code(),
            absl::StatusCode::kDataLoss);
  EXPECT_NE(Allocate().generation, grants->front().generation);
}

TEST_F(MemoryTransportTest, HeldPutsAreNeitherStoredNorDone) {
  const core::ClusterGrant grant = Allocate();
  const std::string bytes(kPageBytes, 'x');
  transport_.Hold(MemoryTransport::kPut);
  WaitingPut puts[3];
  for (uint32_t i = 0; i < 3; ++i) Start(&puts[i], grant, i, 0, bytes);
  ASSERT_TRUE(transport_.WaitHeld(MemoryTransport::kPut, 3));
  EXPECT_EQ(*Get({grant, 0, 0}), std::string(kPageBytes, '\0'));
  EXPECT_EQ(puts[0].times_done(), 0);
  transport_.ReleaseOne(MemoryTransport::kPut);
  ASSERT_TRUE(puts[0].Wait().ok());
  ASSERT_TRUE(transport_.WaitHeld(MemoryTransport::kPut, 2));
  EXPECT_EQ(puts[1].times_done(), 0);
  EXPECT_EQ(*Get({grant, 0, 0}), bytes);
  transport_.Release(MemoryTransport::kPut);
  EXPECT_TRUE(puts[1].Wait().ok());
  EXPECT_TRUE(puts[2].Wait().ok());
}

TEST_F(MemoryTransportTest, HeldGetsEndByDeadlineReleaseOrShutdown) {
  const core::ClusterGrant grant = Allocate();
  transport_.Hold(MemoryTransport::kGet);
  EXPECT_EQ(Get({grant, 0, 0}, In(milliseconds(5))).status().code(),
            absl::StatusCode::kDeadlineExceeded);
  std::thread released([&] { EXPECT_TRUE(Get({grant, 0, 0}).ok()); });
  ASSERT_TRUE(transport_.WaitHeld(MemoryTransport::kGet, 1));
  transport_.Release(MemoryTransport::kGet);
  released.join();
  transport_.Hold(MemoryTransport::kGet);
  std::thread cancelled([&] {
    EXPECT_EQ(Get({grant, 0, 0}).status().code(), absl::StatusCode::kCancelled);
  });
  ASSERT_TRUE(transport_.WaitHeld(MemoryTransport::kGet, 1));
  transport_.Shutdown(In(seconds(1)));
  cancelled.join();
}

TEST_F(MemoryTransportTest, ShutdownEndsHeldPutsWithCancelled) {
  const core::ClusterGrant grant = Allocate();
  const std::string bytes(kPageBytes, 'x');
  transport_.Hold(MemoryTransport::kPut);
  WaitingPut before, after;
  Start(&before, grant, 0, 0, bytes);
  transport_.Shutdown(In(seconds(1)));
  EXPECT_EQ(before.Wait().code(), absl::StatusCode::kCancelled);
  Start(&after, grant, 0, 0, bytes);
  EXPECT_EQ(after.Wait().code(), absl::StatusCode::kCancelled);
}

TEST_F(MemoryTransportTest, InjectedFailuresAndCorruption) {
  const core::ClusterGrant grant = Allocate();
  transport_.FailNext(MemoryTransport::kGet, absl::DataLossError("told so"), 1);
  EXPECT_EQ(Get({grant, 0, 0}).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(Get({grant, 0, 0}).ok());
  transport_.CorruptNextGets(1);
  const std::string zeros(kPageBytes, '\0');
  EXPECT_NE(*Get({grant, 0, 0}), zeros);
  EXPECT_EQ(*Get({grant, 0, 0}), zeros);
  std::atomic<int> hooked = 0;
  transport_.SetHook(MemoryTransport::kGet,
                     [&](const FolioRef& ref) { hooked += 1 + ref.slot; });
  EXPECT_TRUE(Get({grant, 8, 3}).ok());
  EXPECT_EQ(hooked, 9);
}

TEST_F(MemoryTransportTest, LostContentsAreLostForGoodAndNewGrantsWork) {
  const core::ClusterGrant old_grant = Allocate();
  transport_.LoseContents();
  EXPECT_EQ(Get({old_grant, 0, 0}).status().code(),
            absl::StatusCode::kDataLoss);
  const std::string bytes(kPageBytes, 'x');
  WaitingPut put;
  Start(&put, old_grant, 0, 0, bytes);
  EXPECT_EQ(put.Wait().code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(Get({Allocate(), 0, 0}).ok());
  EXPECT_EQ(transport_.Stats().sessions_lost, 1u);
}

TEST_F(MemoryTransportTest, ManyThreads) {
  const core::ClusterGrant grant = Allocate();
  std::vector<std::thread> threads;
  for (uint32_t slot = 0; slot < 4; ++slot) {
    threads.emplace_back([&, slot] {
      for (int i = 0; i < 200; ++i) {
        const std::string bytes(kPageBytes, static_cast<char>(i));
        WaitingPut put;
        Start(&put, grant, slot, 0, bytes);
        ASSERT_TRUE(put.Wait().ok());
        ASSERT_EQ(*Get({grant, slot, 0}), bytes);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(transport_.counters().puts[0], 800u);
}

using MemoryTransportDeathTest = MemoryTransportTest;

TEST_F(MemoryTransportDeathTest, HoldsItsCallerToTheRules) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  const core::ClusterGrant grant = {1, 1, 1};
  std::string bytes(BytesOf(1), 'x');
  const FolioRef misaligned = {grant, 1, 1};
  EXPECT_DEATH((void)transport_.Get({&misaligned, 1}, absl::MakeSpan(bytes),
                                    In(seconds(1))),
               "multiple of 2");
  const FolioRef aligned = {grant, 2, 0};
  EXPECT_DEATH((void)transport_.Get({&aligned, 1}, absl::MakeSpan(bytes),
                                    In(seconds(1))),
               "as long as its folios");
  EXPECT_DEATH(
      {
        transport_.Hold(MemoryTransport::kPut);
        WaitingPut put;
        Start(&put, grant, 0, 1, bytes);
        bytes[0] = 'y';
        transport_.Release(MemoryTransport::kPut);
        (void)put.Wait();
      },
      "stay as they are");
  EXPECT_DEATH(
      {
        transport_.Hold(MemoryTransport::kPut);
        WaitingPut first;
        WaitingPut second;
        Start(&first, grant, 0, 1, bytes);
        Start(&second, grant, 1, 0, bytes);
      },
      "one put of a slot");
}

}  // namespace
}  // namespace farswap::remote

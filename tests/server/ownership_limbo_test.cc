#include <functional>
#include <thread>
#include <utility>

#include "server/error.h"
#include "server/ownership.h"
#include "tests/server/storage_fixture.h"

namespace farswap::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class OwnershipLimboTest : public StorageFixture {
 protected:
  void SetUp() override { ASSERT_TRUE(Open().ok()); }

  Reason AllocateReason(const Ownership::Attachment& session, uint64_t request,
                        uint32_t count) {
    return ReasonOf(
        ownership()
            .Allocate(session.session, session.epoch, request, count)
            .status());
  }
  Reason FreeReason(const Ownership::Attachment& session,
                    const std::vector<GrantRecord>& grants) {
    return ReasonOf(
        ownership().Free(session.session, session.epoch, grants).status());
  }
  Reason CloseReason(const Ownership::Attachment& session) {
    return ReasonOf(ownership().Close(session.session, session.epoch).status());
  }
  Clock::Time Bound() const {
    return std::chrono::steady_clock::now() + seconds(20);
  }
  // Has calls reach the metadata while one write is under way; all fail.
  void FailTogether(size_t calls, const std::function<void(int)>& call) {
    metadata_->on_write = [&, first = true]() mutable {
      if (!std::exchange(first, false)) return;
      metadata_->failure = MemoryMetadata::Failure::kNotKept;
      while (storage_->journal().waiting() < calls) std::this_thread::yield();
    };
    std::vector<std::thread> threads;
    for (size_t i = 0; i < calls; ++i) {
      threads.emplace_back([&call, i] { call(static_cast<int>(i)); });
    }
    for (std::thread& thread : threads) thread.join();
    metadata_->on_write = nullptr;
    metadata_->failure = MemoryMetadata::Failure::kNone;
  }
};

class FailedCommitTest
    : public OwnershipLimboTest,
      public ::testing::WithParamInterface<MemoryMetadata::Failure> {};

TEST_P(FailedCommitTest, AGrantThatMayBeKeptStaysOutOfUseUntilReopened) {
  const auto session = OpenSession();
  const auto before = Allocate(session, 1, 1);
  metadata_->failure = GetParam();
  metadata_->reopen_fails = true;
  EXPECT_EQ(AllocateReason(session, 2, 7), Reason::kMetadataUnavailable);
  EXPECT_EQ(ownership().limbo_clusters(), 7u);
  EXPECT_EQ(storage_->clusters().granted(), 1u);
  ownership().Tick();
  EXPECT_EQ(AllocateReason(session, 3, 1), Reason::kMetadataUnavailable);
  EXPECT_EQ(ownership().limbo_clusters(), 7u);
  // Gets and puts do not notice.
  EXPECT_TRUE(storage_->folios()
                  .BeginGet(session.session, 1,
                            std::vector<FolioName>{
                                {before[0].cluster, before[0].generation}})
                  .ok());
  metadata_->failure = MemoryMetadata::Failure::kNone;
  metadata_->reopen_fails = false;
  ownership().Tick();
  EXPECT_EQ(ownership().limbo_clusters(), 0u);
  EXPECT_EQ(metadata_->grants.size(), 1u);
  EXPECT_EQ(Allocate(session, 2, 7).size(), 7u);
  storage_->clusters().CheckInvariants();
}

TEST_P(FailedCommitTest, AFreeThatMayBeKeptIsFinishedAfterReopening) {
  const auto session = OpenSession();
  const auto grants = Allocate(session, 1, 8);
  ByteOf(grants[0]) = 42;
  metadata_->failure = GetParam();
  EXPECT_EQ(FreeReason(session, grants), Reason::kMetadataUnavailable);
  // A repeat is not told that it is done, whoever looks: before it is known
  // that the metadata is away, while it is, and when it is back.
  EXPECT_EQ(FreeReason(session, grants), Reason::kMetadataUnavailable);
  metadata_->failure = MemoryMetadata::Failure::kNone;
  ASSERT_TRUE(storage_->journal().Reopen().ok());
  EXPECT_EQ(FreeReason(session, grants), Reason::kMetadataUnavailable);
  ownership().Tick();
  EXPECT_TRUE(metadata_->grants.empty());
  EXPECT_EQ(*ownership().Free(session.session, 1, grants), 0u);
  for (const GrantRecord& grant : Allocate(session, 2, 8)) {
    EXPECT_EQ(ByteOf(grant), 0);
  }
}

TEST_P(FailedCommitTest, ACloseThatMayBeKeptIsFinishedAfterReopening) {
  const auto session = OpenSession();
  Allocate(session, 1, 8);
  metadata_->failure = GetParam();
  EXPECT_EQ(CloseReason(session), Reason::kMetadataUnavailable);
  EXPECT_EQ(CloseReason(session), Reason::kMetadataUnavailable);
  metadata_->failure = MemoryMetadata::Failure::kNone;
  ASSERT_TRUE(storage_->journal().Reopen().ok());
  EXPECT_EQ(CloseReason(session), Reason::kMetadataUnavailable);
  ownership().Tick();
  EXPECT_EQ(*ownership().Close(session.session, 1), 0u);
  EXPECT_TRUE(metadata_->sessions.empty());
  EXPECT_EQ(Allocate(OpenSession(), 1, 8).size(), 8u);
}

TEST_P(FailedCommitTest, NothingIsBegunWhileTheMetadataIsAway) {
  const auto session = OpenSession();
  const auto grants = Allocate(session, 1, 4);
  metadata_->failure = GetParam();
  metadata_->reopen_fails = true;
  EXPECT_EQ(AllocateReason(session, 2, 1), Reason::kMetadataUnavailable);
  const int before = metadata_->writes;
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(ReasonOf(ownership().Open("x", milliseconds(0)).status()),
              Reason::kMetadataUnavailable);
    EXPECT_EQ(FreeReason(session, grants), Reason::kMetadataUnavailable);
    EXPECT_EQ(CloseReason(session), Reason::kMetadataUnavailable);
    ownership().Tick();
  }
  // All is as it was.
  EXPECT_EQ(metadata_->writes, before);
  EXPECT_EQ(ownership().limbo_clusters(), 1u);
  EXPECT_EQ(storage_->clusters().granted(), 4u);
  metadata_->failure = MemoryMetadata::Failure::kNone;
  metadata_->reopen_fails = false;
  ownership().Tick();
  EXPECT_EQ(*ownership().Free(session.session, 1, grants), 4u);
}

TEST_P(FailedCommitTest, ASessionThatMayBeKeptIsDropped) {
  metadata_->failure = GetParam();
  EXPECT_EQ(ReasonOf(ownership().Open("x", milliseconds(0)).status()),
            Reason::kMetadataUnavailable);
  metadata_->failure = MemoryMetadata::Failure::kNone;
  ownership().Tick();
  EXPECT_TRUE(metadata_->sessions.empty());
  EXPECT_EQ(storage_->sessions().size(), 0u);
}

TEST_P(FailedCommitTest, AGrantThatMayBeKeptSurvivesAKillWithItsRequest) {
  const auto session = OpenSession();
  metadata_->failure = GetParam();
  EXPECT_EQ(AllocateReason(session, 2, 3), Reason::kMetadataUnavailable);
  metadata_->failure = MemoryMetadata::Failure::kNone;
  ASSERT_TRUE(Open().ok());
  const auto grants = Allocate(session, 2, 3);
  EXPECT_EQ(grants.size(), 3u);
  EXPECT_EQ(storage_->clusters().granted(), 3u);
}

TEST_P(FailedCommitTest, AnAttachThatFailedLeavesTheEpochAsTheClientHasIt) {
  const auto session = OpenSession();
  const uint64_t incarnation = ownership().incarnation();
  metadata_->failure = GetParam();
  metadata_->reopen_fails = true;
  const int before = metadata_->writes;
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(
        ReasonOf(
            ownership().Attach(session.session, incarnation, Bound()).status()),
        Reason::kMetadataUnavailable);
    EXPECT_TRUE(ownership().KeepAlive(session.session, 1).ok());
  }
  EXPECT_EQ(metadata_->writes, before + 1);
  metadata_->failure = MemoryMetadata::Failure::kNone;
  metadata_->reopen_fails = false;
  ownership().Tick();
  const auto attached =
      ownership().Attach(session.session, incarnation, Bound());
  ASSERT_TRUE(attached.ok()) << attached.status();
  EXPECT_EQ(attached->epoch, 2u);
}

INSTANTIATE_TEST_SUITE_P(KeptOrNot, FailedCommitTest,
                         ::testing::Values(MemoryMetadata::Failure::kNotKept,
                                           MemoryMetadata::Failure::kKept),
                         [](const auto& info) {
                           return info.param == MemoryMetadata::Failure::kKept
                                      ? "Kept"
                                      : "NotKept";
                         });

TEST_F(OwnershipLimboTest, AFreeWaitsForAGetOnItsWayOutThenGivesUpSafely) {
  const auto session = OpenSession();
  const auto grants = Allocate(session, 1, 8);
  ByteOf(grants[0]) = 42;
  auto get = storage_->folios().BeginGet(
      session.session, 1,
      std::vector<FolioName>{{grants[0].cluster, grants[0].generation}});
  ASSERT_TRUE(get.ok());
  for (int repeat = 0; repeat < 2; ++repeat) {
    EXPECT_EQ(ownership().Free(session.session, 1, {grants[0]}).status().code(),
              absl::StatusCode::kDeadlineExceeded);
  }
  // Not emptied, not given to anybody, while the get holds it.
  EXPECT_EQ(get->pieces()[0].data[0], 42);
  EXPECT_EQ(AllocateReason(session, 2, 1), Reason::kPoolFull);
  get = FolioBatch();
  ownership().Tick();
  EXPECT_EQ(*ownership().Free(session.session, 1, {grants[0]}), 0u);
  EXPECT_EQ(ByteOf(Allocate(session, 2, 1).at(0)), 0);
}

TEST_F(OwnershipLimboTest, ACloseWhoseClustersAreInUseIsToBeRepeated) {
  const auto session = OpenSession();
  const auto grants = Allocate(session, 1, 8);
  auto get = storage_->folios().BeginGet(
      session.session, 1,
      std::vector<FolioName>{{grants[0].cluster, grants[0].generation}});
  ASSERT_TRUE(get.ok());
  for (int repeat = 0; repeat < 3; ++repeat) {
    EXPECT_EQ(ownership().Close(session.session, 1).status().code(),
              absl::StatusCode::kDeadlineExceeded);
    ownership().Tick();
  }
  EXPECT_EQ(Allocate(OpenSession(), 1, 8).size(), 7u);
  get = FolioBatch();
  ownership().Tick();
  EXPECT_EQ(*ownership().Close(session.session, 1), 0u);
}

// While Tick finishes it, a repeated call must not find that nothing is left.
TEST_F(OwnershipLimboTest, WhatIsBeingFinishedIsNotYetDone) {
  const auto session = OpenSession();
  const auto grants = Allocate(session, 1, 1);
  metadata_->failure = MemoryMetadata::Failure::kNotKept;
  EXPECT_EQ(FreeReason(session, grants), Reason::kMetadataUnavailable);
  metadata_->failure = MemoryMetadata::Failure::kNone;
  int asked = 0;
  metadata_->on_write = [&] {
    ++asked;
    std::thread repeat([&] {
      EXPECT_EQ(FreeReason(session, grants), Reason::kMetadataUnavailable);
    });
    repeat.join();
  };
  ownership().Tick();
  metadata_->on_write = nullptr;
  EXPECT_EQ(asked, 1);
  EXPECT_EQ(*ownership().Free(session.session, 1, grants), 0u);
}

TEST_F(OwnershipLimboTest, AllThatFailedIsWrittenAsOneAndWaitedForAsOne) {
  // Each client's free is under way, in one group, when the write fails.
  std::vector<Ownership::Attachment> sessions;
  std::vector<std::vector<GrantRecord>> grants;
  for (int i = 0; i < 8; ++i) {
    sessions.push_back(OpenSession());
    grants.push_back(Allocate(sessions.back(), 1, 1));
  }
  std::vector<absl::StatusOr<FolioBatch>> gets;
  for (int i = 0; i < 8; ++i) {
    gets.push_back(storage_->folios().BeginGet(
        sessions[i].session, 1,
        std::vector<FolioName>{
            {grants[i][0].cluster, grants[i][0].generation}}));
  }
  FailTogether(8, [&](int i) {
    EXPECT_EQ(FreeReason(sessions[i], grants[i]), Reason::kMetadataUnavailable);
  });
  EXPECT_EQ(ownership().limbo_clusters(), 8u);
  const int before = metadata_->writes;
  const auto start = std::chrono::steady_clock::now();
  ownership().Tick();
  EXPECT_EQ(metadata_->writes, before + 1);
  // One second for all of them; one each were eight.
  EXPECT_LT(std::chrono::steady_clock::now() - start, seconds(4));
  EXPECT_EQ(ownership().limbo_clusters(), 8u);
  gets.clear();
  ownership().Tick();
  EXPECT_EQ(metadata_->writes, before + 1);
  EXPECT_EQ(ownership().limbo_clusters(), 0u);
}

}  // namespace
}  // namespace farswap::server

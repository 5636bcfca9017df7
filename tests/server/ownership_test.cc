#include "server/ownership.h"

#include <thread>

#include "server/error.h"
#include "tests/server/storage_fixture.h"

namespace farswap::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class OwnershipTest : public StorageFixture {
 protected:
  void SetUp() override { ASSERT_TRUE(Open().ok()); }

  Reason AllocateReason(const Ownership::Attachment& session, uint64_t request,
                        uint32_t count) {
    return ReasonOf(
        ownership()
            .Allocate(session.session, session.epoch, request, count)
            .status());
  }
  Clock::Time Bound() const {
    return std::chrono::steady_clock::now() + seconds(20);
  }
};

TEST_F(OwnershipTest, ARepeatedAllocationIsAnsweredWithTheSameGrants) {
  const auto session = OpenSession();
  const auto grants = Allocate(session, 1, 3);
  EXPECT_EQ(Allocate(session, 1, 3), grants);
  EXPECT_NE(Allocate(session, 2, 3), grants);
  // While it owns any of them.
  ASSERT_EQ(*ownership().Free(session.session, 1, {grants[0]}), 1u);
  EXPECT_EQ(Allocate(session, 1, 3),
            (std::vector<GrantRecord>{grants[1], grants[2]}));
}

TEST_F(OwnershipTest, GivesFewerThanAskedForButNeverNone) {
  const auto session = OpenSession();
  EXPECT_EQ(Allocate(session, 1, 5).size(), 5u);
  EXPECT_EQ(Allocate(session, 2, 5).size(), 3u);
  EXPECT_EQ(AllocateReason(session, 3, 5), Reason::kPoolFull);
}

TEST_F(OwnershipTest, ARepeatedFreeFreesNothingMore) {
  const auto session = OpenSession();
  const auto grants = Allocate(session, 1, 2);
  const std::vector<GrantRecord> twice = {grants[0], grants[0]};
  EXPECT_EQ(*ownership().Free(session.session, 1, twice), 1u);
  EXPECT_EQ(*ownership().Free(session.session, 1, twice), 0u);
}

TEST_F(OwnershipTest, NobodyFreesAnothersCluster) {
  const auto session = OpenSession();
  const auto other = OpenSession();
  const auto grants = Allocate(session, 1, 1);
  EXPECT_EQ(*ownership().Free(other.session, 1, grants), 0u);
  EXPECT_EQ(storage_->clusters().granted(), 1u);
}

TEST_F(OwnershipTest, TheNextOwnerReadsZerosAtAHigherGeneration) {
  const auto session = OpenSession();
  const auto first = Allocate(session, 1, 8);
  for (const GrantRecord& grant : first) ByteOf(grant) = 42;
  ASSERT_TRUE(ownership().Free(session.session, 1, first).ok());
  for (const GrantRecord& grant : Allocate(session, 2, 8)) {
    EXPECT_EQ(ByteOf(grant), 0);
    EXPECT_GT(grant.generation, first.back().generation);
  }
}

TEST_F(OwnershipTest, RefusesMalformedCalls) {
  const auto session = OpenSession();
  const auto grants = Allocate(session, 1, 1);
  EXPECT_EQ(AllocateReason(session, 0, 1), Reason::kMalformed);
  EXPECT_EQ(AllocateReason(session, 9, 0), Reason::kMalformed);
  EXPECT_EQ(AllocateReason(session, 9, 257), Reason::kMalformed);
  EXPECT_EQ(AllocateReason({0, 1}, 9, 1), Reason::kMalformed);
  EXPECT_EQ(AllocateReason({session.session, 0}, 9, 1), Reason::kMalformed);
  EXPECT_EQ(AllocateReason({session.session ^ 1, 1}, 9, 1),
            Reason::kUnknownSession);
  EXPECT_EQ(AllocateReason({session.session, 2}, 9, 1), Reason::kStaleEpoch);
  // One bad entry, and nothing of the call is done.
  const std::vector<GrantRecord> bad = {grants[0], {0, 0, 1 << 20, 1}};
  EXPECT_EQ(ReasonOf(ownership().Free(session.session, 1, bad).status()),
            Reason::kMalformed);
  EXPECT_EQ(ReasonOf(ownership().Free(session.session, 1, {}).status()),
            Reason::kMalformed);
  EXPECT_EQ(storage_->clusters().granted(), 1u);
}

TEST_F(OwnershipTest, RefusesAFaultDeadlineBeyondTheRetention) {
  EXPECT_EQ(ReasonOf(ownership().Open("x", std::chrono::hours(25)).status()),
            Reason::kMalformed);
  EXPECT_EQ(ReasonOf(ownership().Open("x", milliseconds(-1)).status()),
            Reason::kMalformed);
  EXPECT_EQ(
      ReasonOf(
          ownership().Open(std::string(129, 'x'), milliseconds(0)).status()),
      Reason::kMalformed);
  EXPECT_TRUE(ownership().Open("x", std::chrono::hours(24)).ok());
}

TEST_F(OwnershipTest, AttachFencesTheOldEpochDurably) {
  const auto session = OpenSession();
  const auto attached =
      ownership().Attach(session.session, ownership().incarnation(), Bound());
  ASSERT_TRUE(attached.ok());
  EXPECT_EQ(attached->epoch, 2u);
  EXPECT_EQ(ReasonOf(ownership().KeepAlive(session.session, 1)),
            Reason::kStaleEpoch);
  ASSERT_TRUE(Open().ok());
  EXPECT_EQ(ReasonOf(ownership().KeepAlive(session.session, 1)),
            Reason::kStaleEpoch);
  EXPECT_TRUE(ownership().KeepAlive(session.session, 2).ok());
  EXPECT_EQ(
      ReasonOf(ownership().Attach(session.session, 12345, Bound()).status()),
      Reason::kContentsLost);
  EXPECT_EQ(ReasonOf(ownership().Attach(0, 1, Bound()).status()),
            Reason::kMalformed);
}

TEST_F(OwnershipTest, CloseFreesEverythingOnce) {
  const auto session = OpenSession();
  Allocate(session, 1, 5);
  EXPECT_EQ(ReasonOf(ownership().Close(session.session, 2).status()),
            Reason::kStaleEpoch);
  EXPECT_EQ(*ownership().Close(session.session, 1), 5u);
  EXPECT_EQ(*ownership().Close(session.session, 1), 0u);
  EXPECT_EQ(storage_->clusters().granted(), 0u);
  EXPECT_TRUE(metadata_->sessions.empty());
  EXPECT_TRUE(metadata_->grants.empty());
}

TEST_F(OwnershipTest, ALeaseThatRanOutIsTakenOnlyWhenCapacityIsNeeded) {
  const auto idle = OpenSession();
  const auto grants = Allocate(idle, 1, 6);
  ByteOf(grants[0]) = 42;
  const auto busy = OpenSession();
  clock_.Advance(seconds(61));
  ownership().Tick();
  EXPECT_EQ(Allocate(busy, 1, 2).size(), 2u);
  EXPECT_EQ(storage_->clusters().granted(), 8u);  // Not needed yet.
  EXPECT_EQ(Allocate(busy, 2, 1).size(), 1u);
  EXPECT_EQ(storage_->clusters().granted(), 3u);
  EXPECT_EQ(
      ReasonOf(ownership()
                   .Attach(idle.session, ownership().incarnation(), Bound())
                   .status()),
      Reason::kContentsLost);
  EXPECT_NE(log_.back().find("lease ran out"), std::string::npos);
}

TEST_F(OwnershipTest, ALeaseThatRanOutResumes) {
  const auto session = OpenSession();
  const auto grants = Allocate(session, 1, 8);
  clock_.Advance(seconds(1000));
  ownership().Tick();
  EXPECT_TRUE(ownership().KeepAlive(session.session, 1).ok());
  const auto other = OpenSession();
  EXPECT_EQ(AllocateReason(other, 1, 1), Reason::kPoolFull);
  EXPECT_EQ(Allocate(session, 1, 8), grants);
}

TEST_F(OwnershipTest, TheRetentionEndsWhatNobodyNeeds) {
  const auto session = OpenSession();
  Allocate(session, 1, 8);
  clock_.Advance(std::chrono::hours(24) + seconds(1));
  ownership().Tick();
  EXPECT_EQ(storage_->clusters().granted(), 0u);
  EXPECT_EQ(storage_->sessions().size(), 0u);
}

TEST_F(OwnershipTest, TheLimitOnSessionsIsKept) {
  options_.ownership.max_sessions = 2;
  ASSERT_TRUE(Open().ok());
  OpenSession();
  OpenSession();
  EXPECT_EQ(ReasonOf(ownership().Open("x", milliseconds(0)).status()),
            Reason::kLimit);
}

TEST_F(OwnershipTest, ADrainingServerGrantsNothingButKeepsItsWord) {
  const auto session = OpenSession();
  const auto grants = Allocate(session, 1, 1);
  ownership().Drain();
  EXPECT_EQ(AllocateReason(session, 2, 1), Reason::kDraining);
  EXPECT_EQ(ReasonOf(ownership().Open("x", milliseconds(0)).status()),
            Reason::kDraining);
  EXPECT_EQ(Allocate(session, 1, 1), grants);
  EXPECT_EQ(*ownership().Free(session.session, 1, grants), 1u);
}

class FailedCommitTest
    : public OwnershipTest,
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
  EXPECT_EQ(ReasonOf(ownership().Free(session.session, 1, grants).status()),
            Reason::kMetadataUnavailable);
  metadata_->failure = MemoryMetadata::Failure::kNone;
  ownership().Tick();
  EXPECT_TRUE(metadata_->grants.empty());
  EXPECT_EQ(*ownership().Free(session.session, 1, grants), 0u);
  for (const GrantRecord& grant : Allocate(session, 2, 8)) {
    EXPECT_EQ(ByteOf(grant), 0);
  }
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

TEST_F(OwnershipTest, AFreeWaitsForAGetOnItsWayOutThenGivesUpSafely) {
  const auto session = OpenSession();
  const auto grants = Allocate(session, 1, 8);
  ByteOf(grants[0]) = 42;
  auto get = storage_->folios().BeginGet(
      session.session, 1,
      std::vector<FolioName>{{grants[0].cluster, grants[0].generation}});
  ASSERT_TRUE(get.ok());
  EXPECT_EQ(ownership().Free(session.session, 1, {grants[0]}).status().code(),
            absl::StatusCode::kDeadlineExceeded);
  // Not emptied, not given to anybody, while the get holds it.
  EXPECT_EQ(get->pieces()[0].data[0], 42);
  EXPECT_EQ(AllocateReason(session, 2, 1), Reason::kPoolFull);
  get = FolioBatch();
  ownership().Tick();
  EXPECT_EQ(ByteOf(Allocate(session, 2, 1).at(0)), 0);
}

TEST_F(OwnershipTest, ManyClientsAtOnceNeverShareACluster) {
  std::vector<std::thread> clients;
  for (int client = 0; client < 4; ++client) {
    clients.emplace_back([this] {
      const auto session = OpenSession();
      for (uint64_t request = 1; request <= 50; ++request) {
        const auto grants =
            ownership().Allocate(session.session, 1, request, 2);
        if (!grants.ok()) continue;
        for (const GrantRecord& grant : *grants) {
          EXPECT_EQ(ByteOf(grant), 0);
          ByteOf(grant) = 1;
        }
        EXPECT_EQ(*ownership().Free(session.session, 1, *grants),
                  grants->size());
      }
      EXPECT_TRUE(ownership().Close(session.session, 1).ok());
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(storage_->clusters().granted(), 0u);
  storage_->clusters().CheckInvariants();
  EXPECT_TRUE(metadata_->grants.empty());
}

}  // namespace
}  // namespace farswap::server

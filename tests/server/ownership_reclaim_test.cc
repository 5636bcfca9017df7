#include "server/error.h"
#include "server/ownership.h"
#include "tests/server/storage_fixture.h"

namespace farswap::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class OwnershipReclaimTest : public StorageFixture {
 protected:
  void SetUp() override { ASSERT_TRUE(Open().ok()); }

  Reason AllocateReason(const Ownership::Attachment& session, uint64_t request,
                        uint32_t count) {
    return ReasonOf(
        ownership()
            .Allocate(session.session, session.epoch, request, count)
            .status());
  }
  bool IsAlive(const Ownership::Attachment& session) {
    return storage_->sessions().Find(session.session) != nullptr;
  }
  absl::StatusOr<FolioBatch> Pin(const Ownership::Attachment& session,
                                 const GrantRecord& grant) {
    return storage_->folios().BeginGet(
        session.session, session.epoch,
        std::vector<FolioName>{{grant.cluster, grant.generation}});
  }
};

TEST_F(OwnershipReclaimTest, ALeaseThatRanOutIsTakenOnlyWhenCapacityIsNeeded) {
  const auto idle = OpenSession();
  const auto grants = Allocate(idle, 1, 6);
  ByteOf(grants[0]) = 42;
  Pass(seconds(61));
  const auto busy = OpenSession();
  EXPECT_EQ(Allocate(busy, 1, 2).size(), 2u);
  EXPECT_EQ(storage_->clusters().granted(), 8u);  // Not needed yet.
  EXPECT_EQ(Allocate(busy, 2, 1).size(), 1u);
  EXPECT_EQ(storage_->clusters().granted(), 3u);
  EXPECT_EQ(ReasonOf(ownership()
                         .Attach(idle.session, ownership().incarnation(),
                                 std::chrono::steady_clock::now() + seconds(20))
                         .status()),
            Reason::kContentsLost);
  EXPECT_NE(log_.back().find("lease ran out"), std::string::npos);
}

TEST_F(OwnershipReclaimTest, ALeaseThatRanOutResumes) {
  const auto session = OpenSession();
  const auto grants = Allocate(session, 1, 8);
  Pass(seconds(1000));
  EXPECT_TRUE(ownership().KeepAlive(session.session, 1).ok());
  const auto other = OpenSession();
  EXPECT_EQ(AllocateReason(other, 1, 1), Reason::kPoolFull);
  EXPECT_EQ(Allocate(session, 1, 8), grants);
}

TEST_F(OwnershipReclaimTest, TheRetentionEndsWhatNobodyNeeds) {
  const auto session = OpenSession();
  Allocate(session, 1, 8);
  Pass(std::chrono::hours(24));
  EXPECT_EQ(storage_->clusters().granted(), 8u);
  Pass(seconds(1));
  EXPECT_EQ(storage_->clusters().granted(), 0u);
  EXPECT_EQ(storage_->sessions().size(), 0u);
}

TEST_F(OwnershipReclaimTest, TheLongestSilentIsTakenFirst) {
  std::vector<Ownership::Attachment> sessions;
  for (int i = 0; i < 8; ++i) {
    sessions.push_back(OpenSession());
    Allocate(sessions.back(), 1, 1);
    Pass(seconds(1));
  }
  ASSERT_TRUE(ownership().KeepAlive(sessions[0].session, 1).ok());
  Pass(seconds(61));
  const auto busy = OpenSession();
  Allocate(busy, 1, 1);
  EXPECT_FALSE(IsAlive(sessions[1]));
  Allocate(busy, 2, 1);
  EXPECT_FALSE(IsAlive(sessions[2]));
  EXPECT_TRUE(IsAlive(sessions[3]));
  EXPECT_TRUE(IsAlive(sessions[0]));
}

TEST_F(OwnershipReclaimTest, AFailedReclaimEndsOneSessionAndNoMore) {
  std::vector<Ownership::Attachment> silent;
  for (int i = 0; i < 8; ++i) {
    silent.push_back(OpenSession());
    Allocate(silent.back(), 1, 1);
  }
  Pass(seconds(61));
  const auto busy = OpenSession();
  metadata_->failure = MemoryMetadata::Failure::kNotKept;
  EXPECT_EQ(AllocateReason(busy, 1, 1), Reason::kMetadataUnavailable);
  EXPECT_EQ(storage_->sessions().size(), 8u);
  // Nor one more while the metadata is known to be away.
  metadata_->reopen_fails = true;
  EXPECT_EQ(AllocateReason(busy, 2, 1), Reason::kMetadataUnavailable);
  Pass(std::chrono::hours(25));
  EXPECT_EQ(storage_->sessions().size(), 8u);
  EXPECT_EQ(storage_->clusters().granted(), 7u);
}

TEST_F(OwnershipReclaimTest, APinnedClusterKeepsOnlyItself) {
  const auto silent = OpenSession();
  const auto other = OpenSession();
  const auto grants = Allocate(silent, 1, 4);
  Allocate(other, 1, 4);
  const auto get = Pin(silent, grants[0]);
  Pass(seconds(10));
  ASSERT_TRUE(ownership().KeepAlive(other.session, 1).ok());
  Pass(seconds(61));
  const auto busy = OpenSession();
  // Three of the four are free at once; the other session is left alone.
  EXPECT_EQ(Allocate(busy, 1, 8).size(), 3u);
  EXPECT_TRUE(IsAlive(other));
  EXPECT_EQ(ownership().limbo_clusters(), 1u);
}

TEST_F(OwnershipReclaimTest, ASessionWhoseClustersAreAllPinnedIsTheLast) {
  std::vector<Ownership::Attachment> silent;
  std::vector<absl::StatusOr<FolioBatch>> gets;
  for (int i = 0; i < 8; ++i) {
    silent.push_back(OpenSession());
    gets.push_back(Pin(silent.back(), Allocate(silent.back(), 1, 1).at(0)));
  }
  Pass(seconds(61));
  EXPECT_EQ(AllocateReason(OpenSession(), 1, 1), Reason::kPoolFull);
  EXPECT_EQ(storage_->sessions().size(), 8u);  // Seven, and the busy one.
}

// The server, not its clients, was silent: as after a SIGSTOP.
TEST_F(OwnershipReclaimTest, AfterAStallNobodyIsTakenForOneFullLease) {
  const auto session = OpenSession();
  const auto grants = Allocate(session, 1, 8);
  clock_.Advance(seconds(100));
  // Whoever looks before the next tick does not take it either.
  const auto busy = OpenSession();
  EXPECT_EQ(AllocateReason(busy, 1, 1), Reason::kPoolFull);
  Pass(seconds(29));
  EXPECT_NE(log_.back().find("stood still"), std::string::npos);
  EXPECT_EQ(AllocateReason(busy, 1, 1), Reason::kPoolFull);
  EXPECT_EQ(Allocate(session, 1, 8), grants);
  Pass(seconds(31));
  ASSERT_TRUE(ownership().KeepAlive(busy.session, 1).ok());
  Pass(seconds(30));
  EXPECT_EQ(Allocate(busy, 1, 1).size(), 1u);
}

TEST_F(OwnershipReclaimTest, AStallBeyondTheRetentionEndsNobodyAtOnce) {
  const auto session = OpenSession();
  Allocate(session, 1, 8);
  clock_.Advance(std::chrono::hours(30));
  ownership().Tick();
  EXPECT_TRUE(IsAlive(session));
  Pass(seconds(31));
  EXPECT_FALSE(IsAlive(session));
}

TEST_F(OwnershipReclaimTest, SilentSessionsThatOwnNothingEndByThemselves) {
  const auto owner = OpenSession();
  Allocate(owner, 1, 1);
  for (int i = 0; i < 20; ++i) OpenSession();
  Pass(seconds(60));
  EXPECT_EQ(storage_->sessions().size(), 21u);
  const int before = metadata_->writes;
  Pass(seconds(1));
  EXPECT_EQ(storage_->sessions().size(), 1u);
  EXPECT_EQ(metadata_->sessions.size(), 1u);
  EXPECT_EQ(metadata_->writes, before + 1);
  EXPECT_TRUE(IsAlive(owner));
}

TEST_F(OwnershipReclaimTest, AtTheLimitTheLongestSilentMakesRoom) {
  options_.ownership.max_sessions = 2;
  ASSERT_TRUE(Open().ok());
  const auto first = OpenSession();
  const auto second = OpenSession();
  Allocate(first, 1, 1);
  Allocate(second, 1, 1);
  EXPECT_EQ(ReasonOf(ownership().Open("x", milliseconds(0)).status()),
            Reason::kLimit);
  Pass(seconds(30));
  ASSERT_TRUE(ownership().KeepAlive(first.session, 1).ok());
  Pass(seconds(31));
  const auto third = OpenSession();
  EXPECT_TRUE(IsAlive(first));
  EXPECT_FALSE(IsAlive(second));
  EXPECT_TRUE(IsAlive(third));
  EXPECT_EQ(ReasonOf(ownership().Open("x", milliseconds(0)).status()),
            Reason::kLimit);
}

}  // namespace
}  // namespace farswap::server

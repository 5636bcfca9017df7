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

#include "server/session_table.h"

#include <gtest/gtest.h>

#include <thread>

#include "server/error.h"
#include "tests/server/manual_clock.h"

namespace farswap::server {
namespace {

using std::chrono::seconds;

const LeaseTimes kTimes{seconds(30), seconds(1000)};

std::shared_ptr<Session> Make(uint64_t id, const Clock& clock,
                              uint64_t fault_deadline_ms = 60'000) {
  return std::make_shared<Session>(
      SessionRecord{id, 1, fault_deadline_ms, "test"}, kTimes, clock.Now());
}

TEST(SessionTest, GoesThroughTheStatesOfItsLease) {
  ManualClock clock;
  const auto session = Make(1, clock);
  EXPECT_EQ(session->StateAt(clock.Now()), SessionState::kAlive);
  clock.Advance(seconds(31));
  EXPECT_EQ(session->StateAt(clock.Now()), SessionState::kExpired);
  EXPECT_FALSE(session->EndIfReclaimable(clock.Now()));
  clock.Advance(seconds(30));
  EXPECT_EQ(session->StateAt(clock.Now()), SessionState::kReclaimable);
  clock.Advance(seconds(940));
  EXPECT_EQ(session->StateAt(clock.Now()), SessionState::kOverdue);
  // Back before anybody took it: as if nothing had happened.
  EXPECT_TRUE(session->Enter(1, clock.Now()).ok());
  EXPECT_EQ(session->StateAt(clock.Now()), SessionState::kAlive);
  EXPECT_FALSE(session->EndIfReclaimable(clock.Now()));
}

TEST(SessionTest, AnEndedOneNeverComesBack) {
  ManualClock clock;
  const auto session = Make(1, clock);
  clock.Advance(seconds(61));
  EXPECT_TRUE(session->EndIfReclaimable(clock.Now()));
  EXPECT_EQ(ReasonOf(session->Enter(1, clock.Now())), Reason::kUnknownSession);
  EXPECT_EQ(ReasonOf(session->BeginPut(1, clock.Now())),
            Reason::kUnknownSession);
  EXPECT_FALSE(session->Hear(clock.Now()).ok());
  EXPECT_FALSE(session->End());
}

TEST(SessionTest, ALongFaultDeadlineOutlivesTheLease) {
  ManualClock clock;
  const auto session = Make(1, clock, 500'000);
  clock.Advance(seconds(499));
  EXPECT_EQ(session->StateAt(clock.Now()), SessionState::kExpired);
  clock.Advance(seconds(2));
  EXPECT_EQ(session->StateAt(clock.Now()), SessionState::kReclaimable);
}

TEST(SessionTest, ARaisedEpochRefusesOlderOnesAndWaitsForTheirPuts) {
  ManualClock clock;
  const auto session = Make(1, clock);
  ASSERT_TRUE(session->BeginPut(1, clock.Now()).ok());
  EXPECT_EQ(session->RaiseEpoch(), 2u);
  EXPECT_EQ(ReasonOf(session->BeginPut(1, clock.Now())), Reason::kStaleEpoch);
  EXPECT_EQ(ReasonOf(session->Enter(1, clock.Now())), Reason::kStaleEpoch);
  EXPECT_EQ(ReasonOf(session->Enter(3, clock.Now())), Reason::kStaleEpoch);
  // A put of the new epoch is not waited for.
  ASSERT_TRUE(session->BeginPut(2, clock.Now()).ok());
  const auto soon =
      std::chrono::steady_clock::now() + std::chrono::milliseconds(20);
  EXPECT_FALSE(session->AwaitOlderPuts(soon));
  std::thread put([&] { session->EndPut(1); });
  EXPECT_TRUE(
      session->AwaitOlderPuts(std::chrono::steady_clock::now() + seconds(20)));
  put.join();
  session->EndPut(2);
}

TEST(SessionTest, PutsOfSeveralOldEpochsAreAllWaitedFor) {
  ManualClock clock;
  const auto session = Make(1, clock);
  ASSERT_TRUE(session->BeginPut(1, clock.Now()).ok());
  session->RaiseEpoch();
  ASSERT_TRUE(session->BeginPut(2, clock.Now()).ok());
  session->RaiseEpoch();
  session->EndPut(1);
  EXPECT_FALSE(session->AwaitOlderPuts(std::chrono::steady_clock::now()));
  session->EndPut(2);
  EXPECT_TRUE(session->AwaitOlderPuts(std::chrono::steady_clock::now()));
  EXPECT_EQ(session->Record().epoch, 3u);
}

TEST(SessionTest, ARaisedEpochIsTakenBackOnlyWhileNoPutIsCountedByIt) {
  ManualClock clock;
  const auto session = Make(1, clock);
  session->LowerEpoch(session->RaiseEpoch());
  EXPECT_TRUE(session->Enter(1, clock.Now()).ok());
  ASSERT_TRUE(session->BeginPut(1, clock.Now()).ok());
  session->LowerEpoch(session->RaiseEpoch());
  EXPECT_EQ(session->Record().epoch, 2u);
  session->EndPut(1);
  EXPECT_TRUE(session->AwaitOlderPuts(std::chrono::steady_clock::now()));
  ASSERT_TRUE(session->BeginPut(2, clock.Now()).ok());
  session->LowerEpoch(2);
  EXPECT_EQ(session->Record().epoch, 2u);
  session->EndPut(2);
  session->LowerEpoch(2);
  EXPECT_EQ(session->Record().epoch, 1u);
}

TEST(SessionTableTest, FindsWhatIsInItUpToItsLimit) {
  ManualClock clock;
  SessionTable table;
  EXPECT_TRUE(table.Insert(Make(1, clock), 2));
  EXPECT_TRUE(table.Insert(Make(17, clock), 2));
  EXPECT_FALSE(table.Insert(Make(3, clock), 2));
  EXPECT_EQ(table.Find(17)->id(), 17u);
  EXPECT_EQ(table.Find(3), nullptr);
  EXPECT_EQ(table.All().size(), 2u);
  table.Erase(17);
  EXPECT_EQ(table.Find(17), nullptr);
  EXPECT_EQ(table.size(), 1u);
}

}  // namespace
}  // namespace farswap::server

// Discarded ranges read as zeros and are nowhere, whatever is under way.
#include <atomic>
#include <thread>

#include "client/pager/hints.h"
#include "client/pager/pager.h"
#include "tests/client/pager/hints_fixture.h"

namespace farswap::pager {
namespace {

using DiscardTest = HintsTest;
using Transport = remote::MemoryTransport;

TEST_F(DiscardTest, DiscardedRangesReadAsZerosAndAreNowhere) {
  for (const bool huge : {true, false}) {
    SCOPED_TRACE(huge);
    Start(64 * kMiB);
    char* const at = Filled(8 * kMiB, huge);
    const uint64_t written = transport_->Stats().put_bytes;
    // Resident, from amid one part to amid another.
    constexpr uint64_t kFirst = kMiB + 3 * kPageBytes;
    constexpr uint64_t kBytes = 4 * kMiB + 5 * kPageBytes;
    const absl::Status done = hints().Discard(region(), kFirst, kBytes);
    ASSERT_TRUE(done.ok()) << done;
    // A page is counted a moment after the program goes on with it.
    EXPECT_TRUE(Eventually(
        [&] { return pager_->Stats().resident_bytes == 8 * kMiB - kBytes; }));
    EXPECT_EQ(Count(PageState::kZero, kFirst, kBytes), kBytes / kPageBytes);
    EXPECT_EQ(transport_->Stats().put_bytes, written) << "nothing is written";
    const uint64_t first = kFirst / kPageBytes;
    const uint64_t end = first + kBytes / kPageBytes;
    ExpectFilled(at, 0, first);
    ExpectFilled(at, end, 8 * kMiB / kPageBytes);
    for (uint64_t p = first; p < end; ++p) {
      ASSERT_TRUE(IsZeroPage(at + p * kPageBytes)) << "page " << p;
    }
    // They are pages like all others.
    FillPage(at + first * kPageBytes, first + 1);
    PushOut(region());
    ExpectFilled(at, 0, first + 1);
    EXPECT_TRUE(IsZeroPage(at + (first + 1) * kPageBytes));
    TearDown();
  }
}

TEST_F(DiscardTest, WhatIsOutIsDiscardedInItsSlots) {
  Start(64 * kMiB);
  char* const at = Filled(8 * kMiB);
  PushOut(region());
  const uint64_t gets = transport_->Stats().gets;
  ASSERT_TRUE(hints().Discard(region(), 2 * kMiB, 4 * kMiB).ok());
  EXPECT_EQ(pager_->Stats().remote_bytes, 4 * kMiB);
  EXPECT_EQ(transport_->Stats().gets, gets) << "whole blocks need no get";
  // Of parts that one sum covers, the rest is not lost.
  ASSERT_TRUE(hints().Discard(region(), kPageBytes, kPageBytes).ok());
  EXPECT_TRUE(PageIs(at, 1));
  EXPECT_TRUE(IsZeroPage(at + kPageBytes));
  ExpectFilled(at, 2, 512);
  EXPECT_TRUE(IsZeroPage(at + 2 * kMiB));
  ExpectFilled(at, 3 * 512, 4 * 512);
}

TEST_F(DiscardTest, DiscardWhilePutsAreUnderWay) {
  Start(64 * kMiB);
  char* const at = Filled(4 * kMiB);
  transport_->Hold(Transport::kPut);
  ASSERT_EQ(pager_->PageOut(region()).value(), 4 * kMiB);
  ASSERT_TRUE(hints().Discard(region(), 0, 2 * kMiB).ok());
  EXPECT_TRUE(IsZeroPage(at));
  FillPage(at, 77);
  // And from amid a folio that is on its way.
  ASSERT_TRUE(hints().Discard(region(), 2 * kMiB, kPageBytes).ok());
  transport_->Release(Transport::kPut);
  EXPECT_TRUE(PageIs(at, 77));
  EXPECT_TRUE(IsZeroPage(at + kPageBytes));
  EXPECT_TRUE(IsZeroPage(at + 2 * kMiB));
  ExpectFilled(at, 513, 1024);
}

TEST_F(DiscardTest, DiscardWhileAGetIsUnderWay) {
  Start(64 * kMiB);
  const char* const at = Filled(2 * kMiB);
  PushOut(region());
  transport_->Hold(Transport::kGet);
  std::atomic<bool> zero{false};
  std::thread reader([&] { zero = IsZeroPage(at); });
  ASSERT_TRUE(transport_->WaitHeld(Transport::kGet, 1));
  ASSERT_TRUE(hints().Discard(region(), 0, 2 * kMiB).ok());
  transport_->Release(Transport::kGet);
  reader.join();
  EXPECT_TRUE(zero.load()) << "what came late is not installed";
  EXPECT_EQ(pager_->Stats().pages_lost, 0u);
}

TEST_F(DiscardTest, ALostPageThatIsDiscardedIsZeros) {
  Start(64 * kMiB);
  const char* const at = Filled(2 * kMiB);
  PushOut(region());
  transport_->LoseContents();
  EXPECT_FALSE(IsReadable(at));
  ASSERT_TRUE(hints().Discard(region(), 0, 2 * kMiB).ok());
  ASSERT_TRUE(IsReadable(at));
  EXPECT_TRUE(IsZeroPage(at));
}

TEST_F(DiscardTest, PinnedPagesAreNotDiscarded) {
  Start(32 * kMiB);
  const char* const at = Filled(4 * kMiB);
  ASSERT_TRUE(hints().Pin(region(), kMiB, kPageBytes).ok());
  EXPECT_EQ(hints().Discard(region(), 0, 4 * kMiB).code(),
            absl::StatusCode::kInvalidArgument);
  ExpectFilled(at, 0, 1024);
}

}  // namespace
}  // namespace farswap::pager

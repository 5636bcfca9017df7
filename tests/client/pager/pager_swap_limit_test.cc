// The swap limit of a group: what may be in slots.
#include <cstdint>

#include "client/pager/hints.h"
#include "client/pager/pager.h"
#include "tests/client/pager/hints_fixture.h"

namespace farswap::pager {
namespace {

class SwapLimitTest : public HintsTest {
 protected:
  uint64_t Remote() const { return pager_->Stats().remote_bytes; }
};

TEST_F(SwapLimitTest, IsNeverPassed) {
  Start(16 * kMiB);
  ASSERT_TRUE(pager_->SetGroupSwapLimit(group_, 8 * kMiB).ok());
  const uint64_t bytes = 20 * kMiB;
  const char* const at = Filled(bytes);
  for (int pass = 0; pass < 3; ++pass) {
    ExpectFilled(at, 0, bytes / kPageBytes);
    EXPECT_LE(group_->swap_usage() * kPageBytes, 8 * kMiB);
    EXPECT_LE(Remote(), 8 * kMiB);
  }
  // A block may come in before there is room, to free its slots.
  EXPECT_TRUE(Eventually([&] { return group_->usage() <= group_->limit(); }));
  EXPECT_GT(Remote(), 0u);
  EXPECT_EQ(pager_->Stats().pages_lost, 0u);
}

TEST_F(SwapLimitTest, ABlockThatDoesNotFitGoesInParts) {
  Start(16 * kMiB);
  ASSERT_TRUE(pager_->SetGroupSwapLimit(group_, kMiB).ok());
  const char* const at = Filled(16 * kMiB);
  EXPECT_TRUE(Eventually([&] { return Remote() > 0; }));
  EXPECT_LE(group_->swap_usage() * kPageBytes, kMiB);
  ExpectFilled(at, 0, 16 * kMiB / kPageBytes);
}

TEST_F(SwapLimitTest, ALimitBelowAPageIsAPage) {
  Start(16 * kMiB);
  ASSERT_TRUE(pager_->SetGroupSwapLimit(group_, 1).ok());
  EXPECT_EQ(group_->swap_limit(), 1u);
}

TEST_F(SwapLimitTest, AtBothLimitsAFaultEndsByItsDeadline) {
  Start(16 * kMiB, 1024, std::chrono::milliseconds(300));
  ASSERT_TRUE(pager_->SetGroupSwapLimit(group_, 4 * kMiB).ok());
  const char* const at = Filled(16 * kMiB);
  char* const more = AddRegion(16 * kMiB);
  int readable = 0;
  for (uint64_t p = 0; p < 8; ++p) readable += IsReadable(more + p * kPmdBytes);
  EXPECT_LT(readable, 8);
  // What was there is there.
  ExpectFilled(at, 0, 16 * kMiB / kPageBytes);
  // With a higher limit there is room again, for who did not ask before.
  ASSERT_TRUE(pager_->SetGroupSwapLimit(group_, 0).ok());
  char* const rest = AddRegion(16 * kMiB);
  for (uint64_t p = 0; p < 8; ++p) {
    EXPECT_TRUE(IsReadable(rest + p * kPmdBytes)) << p;
  }
}

TEST_F(SwapLimitTest, WhatIsFreedIsUncharged) {
  Start(16 * kMiB);
  Filled(16 * kMiB);
  PushOut(region());
  EXPECT_EQ(group_->swap_usage() * kPageBytes, 16 * kMiB);
  // From slots, from the middle of a folio, and as copies of what is mapped.
  ASSERT_TRUE(hints().Discard(region(), 2 * kMiB, 2 * kMiB).ok());
  ASSERT_TRUE(hints().Discard(region(), 5 * kMiB, kPageBytes).ok());
  ExpectFilled(regions_.back()->address(), 3072, 4096);
  ASSERT_TRUE(pager_->DestroyRegion(region()).ok());
  regions_.pop_back();
  EXPECT_TRUE(Eventually([&] { return group_->swap_usage() == 0; }));
}

}  // namespace
}  // namespace farswap::pager

#include "client/pager/fault_size.h"

#include <random>

#include "common/units.h"
#include "gtest/gtest.h"

namespace farswap::pager {
namespace {

int Whole(FaultSize* size, int faults, uint64_t (*part)(int)) {
  int whole = 0;
  for (int i = 0; i < faults; ++i) whole += size->Advise(part(i)).whole;
  return whole;
}

uint64_t Forward(int i) { return static_cast<uint64_t>(i) * kPartsPerPmd; }
uint64_t Backward(int i) { return (10000 - uint64_t(i)) * kPartsPerPmd; }
// Multiples of a large odd number, far from one another.
uint64_t Scattered(int i) { return uint64_t(i) * 0x9e3779b1 % (1u << 30); }

TEST(FaultSizeTest, SequentialPassesTakeWholeBlocks) {
  FaultSize forward;
  EXPECT_EQ(Whole(&forward, 1000, Forward), 1000);
  FaultSize backward;
  EXPECT_EQ(Whole(&backward, 1000, Backward), 1000);
}

TEST(FaultSizeTest, SeveralStreamsAtATime) {
  FaultSize size;
  int whole = 0;
  for (uint64_t i = 0; i < 500; ++i) {
    for (uint64_t stream = 0; stream < 4; ++stream) {
      whole += size.Advise((stream << 32) + i * kPartsPerPmd).whole;
    }
  }
  EXPECT_EQ(whole, 2000);
}

TEST(FaultSizeTest, RandomFaultsTakePartsAfterAFew) {
  FaultSize size;
  const int whole = Whole(&size, 1000, Scattered);
  EXPECT_GT(whole, 0);
  EXPECT_LE(whole, 16);
}

TEST(FaultSizeTest, AStreamEarnsWholeBlocksBack) {
  FaultSize size;
  Whole(&size, 1000, Scattered);
  EXPECT_GE(Whole(&size, 100, Forward), 95);
}

TEST(FaultSizeTest, OnlySteadyStreamsAreReadAheadOf) {
  FaultSize size;
  EXPECT_EQ(size.Advise(Forward(0)).ahead, 0);
  EXPECT_EQ(size.Advise(Forward(1)).ahead, 0);
  EXPECT_EQ(size.Advise(Forward(2)).ahead, 1);
  // What was read ahead raises no fault; the stream is known all the same.
  EXPECT_EQ(size.Advise(Forward(2 + FaultSize::kAheadBlocks)).ahead, 1);
  EXPECT_EQ(size.Advise(Forward(40)).ahead, 0);
  FaultSize backward;
  for (int i = 0; i < 3; ++i) backward.Advise(Backward(i));
  EXPECT_EQ(backward.Advise(Backward(3)).ahead, -1);
}

TEST(FaultSizeTest, WhatLiesAlongIsWantedWhereTheLastStepWent) {
  FaultSize size;
  EXPECT_EQ(size.Advise(1000).along, 0);
  EXPECT_EQ(size.Advise(1001).along, 1);
  EXPECT_EQ(size.Advise(1001 + FaultSize::kPartsAlong).along, 1);
  // More than that is another stream, in the same block or not.
  EXPECT_EQ(size.Advise(992).along, 0);
  EXPECT_EQ(size.Advise(991).along, -1);
  EXPECT_EQ(size.Advise(5000).along, 0);
}

// As many as came are a hit each, but for the one that faults.
void AllCome(FaultSize* size, uint64_t part, uint32_t parts) {
  for (uint32_t i = 1; i < parts; ++i) size->CameAhead(part + i);
}

// Broken by: no hits for the formula; hits that are kept.
TEST(FaultSizeTest, AStreamThatUsesItsWindowGetsALargerOne) {
  FaultSize size;
  EXPECT_EQ(size.Advise(1024).parts, 1u);
  uint64_t part = 1025;
  uint32_t before = 1;
  for (const uint32_t parts : {2, 4, 8, 8, 8}) {
    const FaultSize::Advice advice = size.Advise(part);
    EXPECT_EQ(advice.parts, parts);
    EXPECT_EQ(advice.hits, before - 1);
    AllCome(&size, part, parts);
    part += parts;
    before = parts;
  }
}

// Broken by: hits that are the distance, whether anything came or not.
TEST(FaultSizeTest, WhatDidNotComeIsNoHit) {
  FaultSize size;
  size.Advise(1024);
  EXPECT_EQ(size.Advise(1025).parts, 2u);
  const FaultSize::Advice next = size.Advise(1027);
  EXPECT_EQ(next.parts, 1u);
  EXPECT_EQ(next.hits, 0u);
}

// Broken by: counting on past the window (a stride of a block uses one part).
TEST(FaultSizeTest, AStridePastTheWindowUsesNothingOfIt) {
  FaultSize size;
  for (int i = 0; i < 10; ++i) {
    const FaultSize::Advice advice = size.Advise(Forward(i) + 7);
    EXPECT_EQ(advice.parts, 1u);
    EXPECT_EQ(advice.hits, 0u);
  }
}

// Broken by: counting the block that faults.
TEST(FaultSizeTest, BlocksThatAStreamGoesPastAreHits) {
  FaultSize size;
  for (int i = 0; i < 3; ++i) size.Advise(Forward(i));
  for (int i = 3; i < 6; ++i) size.CameAhead(Forward(i));
  EXPECT_EQ(size.Advise(Forward(5)).hits, 2u);
  EXPECT_EQ(size.Advise(Forward(7)).hits, 0u);
  // In nobody's way.
  size.CameAhead(Forward(500));
  EXPECT_EQ(size.Advise(Forward(9)).hits, 0u);
}

TEST(FaultSizeTest, ToAndFroIsNoSteadyStream) {
  FaultSize size;
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(size.Advise(Forward(100 + i % 2)).ahead, 0) << i;
  }
}

}  // namespace
}  // namespace farswap::pager

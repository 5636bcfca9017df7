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
  // Eight came with it.
  EXPECT_EQ(size.Advise(1001 + FaultSize::kPartsAlong).along, 1);
  // More than that is another stream, in the same block or not.
  EXPECT_EQ(size.Advise(992).along, 0);
  EXPECT_EQ(size.Advise(991).along, -1);
  EXPECT_EQ(size.Advise(5000).along, 0);
}

TEST(FaultSizeTest, ToAndFroIsNoSteadyStream) {
  FaultSize size;
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(size.Advise(Forward(100 + i % 2)).ahead, 0) << i;
  }
}

}  // namespace
}  // namespace farswap::pager

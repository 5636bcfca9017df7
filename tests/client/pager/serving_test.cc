#include "client/pager/serving.h"

#include "gtest/gtest.h"

namespace farswap::pager {
namespace {

const char kPages[2][4096] = {};

TEST(ServingTest, TheSameFaultIsServedOnceAndAnsweredAgain) {
  Serving serving;
  EXPECT_TRUE(serving.Enter(1, kPages[0]));
  EXPECT_FALSE(serving.Enter(1, kPages[0]));
  EXPECT_TRUE(serving.Leave(1, kPages[0]));
  EXPECT_TRUE(serving.Enter(1, kPages[0]));
  EXPECT_FALSE(serving.Leave(1, kPages[0]));
}

TEST(ServingTest, OtherThreadsAndPagesAreOtherFaults) {
  Serving serving;
  EXPECT_TRUE(serving.Enter(1, kPages[0]));
  EXPECT_TRUE(serving.Enter(2, kPages[0]));
  EXPECT_TRUE(serving.Enter(1, kPages[1]));
  EXPECT_FALSE(serving.Leave(1, kPages[0]));
  EXPECT_FALSE(serving.Enter(2, kPages[0]));
  EXPECT_TRUE(serving.Leave(2, kPages[0]));
  EXPECT_FALSE(serving.Leave(1, kPages[1]));
}

}  // namespace
}  // namespace farswap::pager

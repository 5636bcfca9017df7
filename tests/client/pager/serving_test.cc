#include "client/pager/serving.h"

#include "client/pager/mm.h"
#include "gtest/gtest.h"

namespace farswap::pager {
namespace {

const char kPages[2][4096] = {};

class ServingTest : public testing::Test {
 protected:
  RegionGraves graves_;
  const Mm mm_{&graves_};
  Serving serving_;
};

TEST_F(ServingTest, TheSameFaultIsServedOnceAndAnsweredAgain) {
  EXPECT_TRUE(serving_.Enter(&mm_, 1, kPages[0]));
  EXPECT_FALSE(serving_.Enter(&mm_, 1, kPages[0]));
  EXPECT_TRUE(serving_.Leave(&mm_, 1, kPages[0]));
  EXPECT_TRUE(serving_.Enter(&mm_, 1, kPages[0]));
  EXPECT_FALSE(serving_.Leave(&mm_, 1, kPages[0]));
}

TEST_F(ServingTest, OtherThreadsAndPagesAreOtherFaults) {
  EXPECT_TRUE(serving_.Enter(&mm_, 1, kPages[0]));
  EXPECT_TRUE(serving_.Enter(&mm_, 2, kPages[0]));
  EXPECT_TRUE(serving_.Enter(&mm_, 1, kPages[1]));
  EXPECT_FALSE(serving_.Leave(&mm_, 1, kPages[0]));
  EXPECT_FALSE(serving_.Enter(&mm_, 2, kPages[0]));
  EXPECT_TRUE(serving_.Leave(&mm_, 2, kPages[0]));
  EXPECT_FALSE(serving_.Leave(&mm_, 1, kPages[1]));
}

TEST_F(ServingTest, ThreadsOfOtherAddressSpacesAreOthers) {
  const Mm other(&graves_);
  EXPECT_TRUE(serving_.Enter(&mm_, 1, kPages[0]));
  EXPECT_TRUE(serving_.Enter(&other, 1, kPages[0]));
  EXPECT_FALSE(serving_.Leave(&mm_, 1, kPages[0]));
}

}  // namespace
}  // namespace farswap::pager

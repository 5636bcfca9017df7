#include "client/core/cluster_info.h"

#include <vector>

#include "gtest/gtest.h"

namespace farswap::core {
namespace {

// One thread: the lock is taken once, for the annotations' sake by the test.
class ClusterInfoTest : public testing::Test {
 public:
  ClusterInfoTest() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    cluster_.mu.Lock();
    cluster_.MakeTable();
  }
  ~ClusterInfoTest() override ABSL_NO_THREAD_SAFETY_ANALYSIS {
    cluster_.mu.Unlock();
  }

 protected:
  ClusterInfo cluster_;
};

TEST_F(ClusterInfoTest, FindsAlignedRoomFromTheHintOnAndRoundTheEnd) {
  cluster_.mu.AssertHeld();
  EXPECT_EQ(cluster_.FindNull(512, 0), 0);
  cluster_.Attach(0, 1, 1);
  EXPECT_EQ(cluster_.FindNull(512, 0), -1);
  EXPECT_EQ(cluster_.FindNull(16, 0), 16);
  EXPECT_EQ(cluster_.FindNull(16, 40), 32);
  cluster_.Attach(496, 16, 2);
  EXPECT_EQ(cluster_.FindNull(16, 496), 16);
  EXPECT_EQ(cluster_.FindNull(1, 500), 1);
  cluster_.CheckInvariants();
}

TEST_F(ClusterInfoTest, NoRoomForALargeFolioBetweenSmallOnes) {
  cluster_.mu.AssertHeld();
  for (uint32_t slot = 3; slot < kSlotsPerCluster; slot += 4) {
    cluster_.Attach(slot, 1, 1);
  }
  EXPECT_EQ(cluster_.FindNull(4, 0), -1);
  EXPECT_EQ(cluster_.FindNull(2, 0), 0);
}

TEST_F(ClusterInfoTest, OwnersPastSixAreInTheOverflowTable) {
  cluster_.mu.AssertHeld();
  cluster_.Attach(8, 2, 1);
  for (uint32_t n = 1; n <= 20; ++n) {
    cluster_.AddOwner(8);
    EXPECT_EQ(cluster_.Owners(8), n);
    EXPECT_EQ(cluster_.Get(8).count(), n < 7 ? n : 7);
    EXPECT_EQ(cluster_.overflow_bytes() != 0, n >= 7);
    cluster_.CheckInvariants();
  }
  for (uint32_t n = 20; n-- > 0;) {
    cluster_.DropOwner(8);
    EXPECT_EQ(cluster_.Owners(8), n);
    EXPECT_EQ(cluster_.overflow_bytes() != 0, n >= 7);
    cluster_.CheckInvariants();
  }
}

TEST_F(ClusterInfoTest, PartsOfAFolioAreFoundFromAnySlot) {
  cluster_.mu.AssertHeld();
  cluster_.Attach(64, 32, 1);
  cluster_.SetPart(64, 16, 11);
  cluster_.SetPart(80, 16, 12);
  EXPECT_EQ(cluster_.View().PartOf(70).head, 64u);
  EXPECT_EQ(cluster_.View().PartOf(70).pages, 16u);
  EXPECT_EQ(cluster_.View().PartOf(95).head, 80u);
  EXPECT_TRUE(cluster_.View().IsFolioShaped(64, 32));
  EXPECT_TRUE(cluster_.View().IsFolioShaped(80, 16));
  EXPECT_FALSE(cluster_.View().IsFolioShaped(64, 8));  // Half a part.
  EXPECT_FALSE(cluster_.View().IsFolioShaped(64, 64));
  cluster_.CheckInvariants();
}

}  // namespace
}  // namespace farswap::core

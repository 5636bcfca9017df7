#include "client/core/cluster_info.h"

#include <vector>

#include "gtest/gtest.h"

namespace farswap::core {

// What takes 2^32 steps to reach, or cannot be reached.
class ClusterInfoPeer {
 public:
  static void SetOwners(ClusterInfo& cluster, uint32_t slot, uint32_t owners)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(cluster.mu) {
    cluster.SetOwners(slot, owners);
  }
  static void Set(ClusterInfo& cluster, uint32_t slot, SwapWord word)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(cluster.mu) {
    cluster.Set(slot, word);
  }
};

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

// Invariant I18. Broken by: is_read asked before the pointer is null (a reader
// may come between); the table not put back; the table freed although.
TEST_F(ClusterInfoTest, ReadersAreLookedForWhenNobodyCanComeAnyMore) {
  cluster_.mu.AssertHeld();
  cluster_.Attach(8, 1, 1);
  const TableView view = cluster_.View();
  cluster_.ToNull(8, 1);
  bool reachable = true;
  const auto read = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    reachable = cluster_.has_table();
    return true;
  };
  EXPECT_EQ(cluster_.FreeTable(read), 0u);
  EXPECT_FALSE(reachable);
  EXPECT_TRUE(cluster_.has_table());
  EXPECT_EQ(cluster_.MakeTable(), 0u);
  cluster_.Attach(9, 1, 1);
  EXPECT_TRUE(view.Get(9).is_cached());
  cluster_.ToNull(9, 1);
  EXPECT_EQ(cluster_.FreeTable([] { return false; }), sizeof(SwapTable));
  EXPECT_FALSE(cluster_.has_table());
  EXPECT_EQ(cluster_.FreeTable([] { return false; }), 0u);
}

// Invariant I1. Broken by: Set without its check.
TEST_F(ClusterInfoTest, ABadWordNeverChanges) {
  cluster_.mu.AssertHeld();
  ClusterInfoPeer::Set(cluster_, 7, SwapWord::Bad());
  EXPECT_EQ(cluster_.FindNull(8, 0), 8);  // It is not given out,
  EXPECT_DEATH(ClusterInfoPeer::Set(cluster_, 7, SwapWord()), "check failed");
  EXPECT_DEATH(cluster_.Attach(7, 1, 1), "check failed");
  EXPECT_DEATH(cluster_.ToNull(7, 1), "check failed");
  EXPECT_DEATH(cluster_.CheckInvariants(), "check failed");  // nor expected.
}

// Invariant I3. Broken by: AddOwner without its check (the count wraps to 0,
// and the slot is free while 2^32 own it).
TEST_F(ClusterInfoTest, OwnersNeverWrap) {
  cluster_.mu.AssertHeld();
  cluster_.Attach(8, 1, 1);
  ClusterInfoPeer::SetOwners(cluster_, 8, UINT32_MAX - 1);
  cluster_.AddOwner(8);
  EXPECT_EQ(cluster_.Owners(8), UINT32_MAX);
  cluster_.CheckInvariants();
  EXPECT_DEATH(cluster_.AddOwner(8), "check failed");
  EXPECT_EQ(cluster_.Owners(8), UINT32_MAX);
}

// Invariant I8, at the slot itself. Broken by: DropOwner without its check.
TEST_F(ClusterInfoTest, AnOwnerThatIsNotThereCannotGo) {
  cluster_.mu.AssertHeld();
  cluster_.Attach(8, 1, 1);
  EXPECT_DEATH(cluster_.DropOwner(8), "check failed");
  cluster_.AddOwner(8);
  cluster_.DropOwner(8);
  EXPECT_DEATH(cluster_.DropOwner(8), "check failed");
}

}  // namespace
}  // namespace farswap::core

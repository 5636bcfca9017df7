#include "client/core/cluster_lists.h"

#include "client/core/cluster_info.h"
#include "gtest/gtest.h"

namespace farswap::core {
namespace {

class ClusterListsTest : public testing::Test {
 protected:
  ClusterIndex Make(ClusterState state, int order) {
    const ClusterIndex index = lists_.Make();
    Move(index, state, order);
    return index;
  }
  void Move(ClusterIndex index, ClusterState state, int order) {
    ClusterInfo& cluster = lists_.At(index);
    MutexLock lock(&cluster.mu);
    lists_.Move(cluster, index, state, order);
  }
  bool Release(ClusterIndex index, size_t keep) {
    ClusterInfo& cluster = lists_.At(index);
    MutexLock lock(&cluster.mu);
    return lists_.Release(cluster, index, keep);
  }
  void TearDown() override { lists_.CheckInvariants(); }

  ClusterLists lists_;
};

TEST_F(ClusterListsTest, EachListRotates) {
  for (int i = 0; i < 3; ++i) Make(ClusterState::kFree, 0);
  for (ClusterIndex want : {0, 1, 2, 0, 1}) {
    EXPECT_EQ(lists_.Next(ClusterState::kFree, 0), want);
  }
}

TEST_F(ClusterListsTest, ListsOfAnOrderAreApart) {
  const ClusterIndex a = Make(ClusterState::kNonfull, 4);
  const ClusterIndex b = Make(ClusterState::kFrag, 4);
  EXPECT_EQ(lists_.Next(ClusterState::kNonfull, 3), std::nullopt);
  EXPECT_EQ(lists_.Next(ClusterState::kNonfull, 4), a);
  EXPECT_EQ(lists_.Next(ClusterState::kFrag, 4), b);
  Move(a, ClusterState::kFrag, 4);
  EXPECT_EQ(lists_.Length(ClusterState::kNonfull, 4), 0u);
  EXPECT_EQ(lists_.Length(ClusterState::kFrag, 4), 2u);
}

TEST_F(ClusterListsTest, MovesAreToTheTailWhereverTheHeadIs) {
  const ClusterIndex a = Make(ClusterState::kFull, 0);
  const ClusterIndex b = Make(ClusterState::kFull, 0);
  const ClusterIndex c = Make(ClusterState::kFull, 0);
  EXPECT_EQ(lists_.Next(ClusterState::kFull, 0), a);  // Now b, c, a.
  Move(b, ClusterState::kFrag, 0);                    // The head leaves.
  lists_.CheckInvariants();
  Move(b, ClusterState::kFull, 0);
  for (ClusterIndex want : {c, a, b}) {
    EXPECT_EQ(lists_.Next(ClusterState::kFull, 0), want);
  }
}

TEST_F(ClusterListsTest, OnlyFreeOnesAreReleasedAndSomeAreKept) {
  const ClusterIndex a = Make(ClusterState::kFree, 0);
  const ClusterIndex b = Make(ClusterState::kFrag, 0);
  EXPECT_FALSE(Release(b, 0));
  EXPECT_FALSE(Release(a, 1));
  EXPECT_TRUE(Release(a, 0));
  EXPECT_FALSE(Release(a, 0));
  EXPECT_EQ(lists_.present(), 1u);
  EXPECT_EQ(lists_.Next(ClusterState::kAbsent, 0), a);
}

}  // namespace
}  // namespace farswap::core

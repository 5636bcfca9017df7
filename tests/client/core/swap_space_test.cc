#include "client/core/swap_space.h"

#include <vector>

#include "client/core/memory_group.h"
#include "common/units.h"
#include "gtest/gtest.h"
#include "tests/client/core/swap_kit.h"

namespace farswap::core {
namespace {

class SwapSpaceTest : public testing::Test {
 protected:
  void TearDown() override { kit_.Check(); }

  SwapKit kit_;
  SwapSpace& space_ = kit_.space;
};

TEST_F(SwapSpaceTest, LifeOfASlot) {
  space_.AddCluster({7, 3, 1});
  Folio* folio = kit_.Make(4);
  ASSERT_TRUE(space_.FolioAllocSwap(folio));
  EXPECT_EQ(space_.GrantOf(folio->entry), (ClusterGrant{7, 3, 1}));
  EXPECT_EQ(space_.used_slots(), 16u);
  space_.FolioDupSwap(folio);
  const uint32_t sum = 0xabcdef01;
  space_.SetSums(folio->entry, 4, false, {&sum, 1});
  const SwapEntry entry = kit_.Detach(folio, 42);
  EXPECT_EQ(kit_.folios.in_use(), 0u);
  EXPECT_EQ(space_.WordAt(entry).age(), 42u);
  EXPECT_EQ(space_.PartOrder(entry + 9), 4);

  const CacheAlloc in = kit_.In(entry + 5, 1 << 4 | 1);
  ASSERT_NE(in.folio, nullptr);
  EXPECT_EQ(in.age, 42u);
  EXPECT_FALSE(in.zero);
  EXPECT_TRUE(in.folio->reading);
  uint32_t kept = 0;
  space_.GetSums(entry, 4, {&kept, 1});
  EXPECT_EQ(kept, sum);
  Folio* found = space_.SwapCacheGetFolio(entry + 15);
  EXPECT_EQ(found, in.folio);
  kit_.folios.Put(found);
  EXPECT_FALSE(space_.FolioFreeSwap(in.folio));
  kit_.Finish(in.folio);
  EXPECT_EQ(space_.used_slots(), 0u);
  EXPECT_EQ(space_.free_clusters(), 1u);
  EXPECT_EQ(kit_.folios.in_use(), 0u);
  EXPECT_EQ(kit_.group.usage(), 0u);
}

TEST_F(SwapSpaceTest, FullMeansFalseAndNothingChanged) {
  kit_.AddCluster();
  kit_.Out(9);
  Folio* folio = kit_.Make(0);
  EXPECT_FALSE(space_.FolioAllocSwap(folio));
  EXPECT_FALSE(folio->has_swap);
  kit_.AddCluster();
  EXPECT_TRUE(space_.FolioAllocSwap(folio));
  EXPECT_TRUE(space_.FolioFreeSwap(folio));
  kit_.Release(folio);
}

TEST_F(SwapSpaceTest, APmdFolioNeedsAWholeFreeCluster) {
  kit_.AddCluster();
  const SwapEntry small = kit_.Out(0);
  Folio* folio = kit_.Make(9);
  EXPECT_FALSE(space_.FolioAllocSwap(folio));
  space_.PutEntries(small, 1);
  EXPECT_TRUE(space_.FolioAllocSwap(folio));
  EXPECT_EQ(folio->entry.slot(), 0u);
  EXPECT_TRUE(space_.FolioFreeSwap(folio));
  kit_.Release(folio);
}

TEST_F(SwapSpaceTest, LookingUpWhatIsNotCachedFindsNothing) {
  kit_.AddCluster();
  EXPECT_EQ(space_.SwapCacheGetFolio(SwapEntry(0, 5)), nullptr);
  EXPECT_EQ(space_.SwapCacheGetFolio(kit_.Out(0)), nullptr);
}

// --- the results of SwapCacheAllocFolio ---

TEST_F(SwapSpaceTest, ExistIfTheTargetIsCached) {
  kit_.AddCluster();
  Folio* folio = kit_.Attached(2);
  const CacheAlloc in = kit_.In(folio->entry + 1, 1 << 2 | 1);
  EXPECT_EQ(in.folio, nullptr);
  EXPECT_EQ(in.error, CacheError::kExist);
  EXPECT_EQ(in.fallbacks.conflict, 0u);
  kit_.Finish(folio);
}

TEST_F(SwapSpaceTest, NoEntIfTheTargetWasFreed) {
  kit_.AddCluster();
  const SwapEntry entry = kit_.Out(0);
  space_.PutEntries(entry, 1);
  EXPECT_EQ(kit_.In(entry, 1).error, CacheError::kNoEnt);  // Table gone too.
  kit_.Out(0);
  EXPECT_EQ(kit_.In(SwapEntry(0, 77), 1).error, CacheError::kNoEnt);
}

TEST_F(SwapSpaceTest, ABusyNeighbourMeansTheNextLowerOrder) {
  kit_.AddCluster();
  const SwapEntry entry = kit_.Out(9);
  const CacheAlloc part = kit_.In(entry + 40, 1 << 4);
  ASSERT_NE(part.folio, nullptr);
  EXPECT_EQ(part.folio->entry, entry + 32);
  // Order 9 and 6 hold the part that is cached; 5 (slots 0..31) does not.
  const CacheAlloc in = kit_.In(entry + 3, 1 << 9 | 1 << 6 | 1 << 5);
  ASSERT_NE(in.folio, nullptr);
  EXPECT_EQ(in.folio->order, 5);
  EXPECT_EQ(in.fallbacks.conflict, 2u);
  EXPECT_EQ(in.fallbacks.alloc, 0u);
  std::vector<uint32_t> sums(2);
  space_.GetSums(entry, 5, absl::MakeSpan(sums));
  EXPECT_EQ(sums, (std::vector<uint32_t>{1000, 1001}));
  EXPECT_EQ(space_.WordAt(entry + 32).sum(), 1002u);
  kit_.Finish(in.folio);
  kit_.Finish(part.folio);
}

TEST_F(SwapSpaceTest, PartsAreFetchedWhole) {
  kit_.AddCluster();
  const SwapEntry part = kit_.Out(4);
  const CacheAlloc in = kit_.In(part, 1 << 3 | 1);
  EXPECT_EQ(in.error, CacheError::kBusy);
  EXPECT_EQ(in.fallbacks.conflict, 2u);
  EXPECT_EQ(in.fallbacks.conflict_orders, 1u << 3 | 1u);
  // Sixteen parts of one slot are not one of sixteen: there is no sum for it.
  kit_.AddCluster();
  for (int i = 0; i < 32; ++i) kit_.Out(0);
  const CacheAlloc wide = kit_.In(SwapEntry(1, 5), 1 << 4 | 1);
  ASSERT_NE(wide.folio, nullptr);
  EXPECT_EQ(wide.folio->order, 0);
  kit_.Finish(wide.folio);
}

TEST_F(SwapSpaceTest, NoFolioIsNoMemAndCountedByOrder) {
  kit_.AddCluster();
  const SwapEntry entry = kit_.Out(9);
  const CacheAlloc in = space_.SwapCacheAllocFolio(
      entry, 1 << 9 | 1 << 4, [](int) -> Folio* { return nullptr; });
  EXPECT_EQ(in.error, CacheError::kNoMem);
  EXPECT_EQ(in.fallbacks.alloc, 2u);
  EXPECT_EQ(in.fallbacks.alloc_orders, 1u << 9 | 1u << 4);
}

// A lost race is not a want of memory, nor the other way round.
TEST_F(SwapSpaceTest, BusyIfNeighboursAreInTheWayAtEachOrder) {
  kit_.AddCluster();
  const SwapEntry entry = kit_.Out(9);
  Folio* neighbour = kit_.In(entry + 64, 1 << 4).folio;
  const CacheAlloc busy = kit_.In(entry, 1 << 9 | 1 << 7);
  EXPECT_EQ(busy.folio, nullptr);
  EXPECT_EQ(busy.error, CacheError::kBusy);
  EXPECT_EQ(busy.fallbacks.conflict_orders, 1u << 9 | 1u << 7);
  EXPECT_EQ(busy.fallbacks.alloc, 0u);
  // Conflicts above an order that memory was short at: that it was counts.
  const CacheAlloc short_of = space_.SwapCacheAllocFolio(
      entry, 1 << 9 | 1 << 4, [](int) -> Folio* { return nullptr; });
  EXPECT_EQ(short_of.error, CacheError::kNoMem);
  EXPECT_EQ(short_of.fallbacks.conflict_orders, 1u << 9);
  EXPECT_EQ(short_of.fallbacks.alloc_orders, 1u << 4);
  // No order, no memory that could be short.
  EXPECT_EQ(kit_.In(entry, 0).error, CacheError::kBusy);
  kit_.Finish(neighbour);
}

// The neighbour comes between the two looks, at the last order.
TEST_F(SwapSpaceTest, ARaceLostToANeighbourIsBusyNotNoMem) {
  kit_.AddCluster();
  const SwapEntry entry = kit_.Out(9);
  Folio* neighbour = nullptr;
  const CacheAlloc in =
      space_.SwapCacheAllocFolio(entry, 1 << 9, [&](int order) {
        neighbour = kit_.In(entry + 16, 1 << 4).folio;
        return kit_.Make(order);
      });
  EXPECT_EQ(in.folio, nullptr);
  EXPECT_EQ(in.error, CacheError::kBusy);
  EXPECT_EQ(in.fallbacks.alloc, 0u);
  EXPECT_EQ(kit_.group.usage(), 16u);
  kit_.Finish(neighbour);
}

// What happens between the two checks: alloc is called without locks.
TEST_F(SwapSpaceTest, AFolioThatLostTheRaceIsGivenBack) {
  kit_.AddCluster();
  const SwapEntry entry = kit_.Out(2);
  CacheAlloc winner;
  const CacheAlloc loser =
      space_.SwapCacheAllocFolio(entry, 1 << 2 | 1, [&](int order) {
        winner = kit_.In(entry, 1 << 2);
        return kit_.Make(order);
      });
  EXPECT_EQ(loser.folio, nullptr);
  EXPECT_EQ(loser.error, CacheError::kExist);
  ASSERT_NE(winner.folio, nullptr);
  EXPECT_EQ(kit_.folios.in_use(), 1u);
  EXPECT_EQ(kit_.group.usage(), 4u);
  kit_.Finish(winner.folio);
}

TEST_F(SwapSpaceTest, FreedDuringAllocIsNoEnt) {
  kit_.AddCluster();
  const SwapEntry entry = kit_.Out(0);
  const CacheAlloc in = space_.SwapCacheAllocFolio(entry, 1, [&](int order) {
    space_.PutEntries(entry, 1);
    return kit_.Make(order);
  });
  EXPECT_EQ(in.error, CacheError::kNoEnt);
  EXPECT_EQ(kit_.folios.in_use(), 0u);
  EXPECT_EQ(kit_.group.usage(), 0u);
}

TEST_F(SwapSpaceTest, ANeighbourCachedDuringAllocMeansTheNextLowerOrder) {
  kit_.AddCluster();
  const SwapEntry entry = kit_.Out(9);
  Folio* neighbour = nullptr;
  const CacheAlloc in =
      space_.SwapCacheAllocFolio(entry, 1 << 9 | 1 << 4, [&](int order) {
        if (order == 9) neighbour = kit_.In(entry + 100, 1 << 4).folio;
        return kit_.Make(order);
      });
  ASSERT_NE(in.folio, nullptr);
  EXPECT_EQ(in.folio->order, 4);
  EXPECT_EQ(in.fallbacks.conflict, 1u);
  EXPECT_EQ(kit_.folios.in_use(), 2u);
  EXPECT_EQ(kit_.group.usage(), 32u);
  kit_.Finish(in.folio);
  kit_.Finish(neighbour);
}

// --- parts that lose owners one by one ---

TEST_F(SwapSpaceTest, ASlotStaysWhileItsPartMustStillBeFetched) {
  kit_.AddCluster();
  const SwapEntry entry = kit_.Out(4);
  space_.PutEntries(entry + 2, 5);
  EXPECT_EQ(space_.used_slots(), 16u);
  EXPECT_EQ(kit_.In(entry + 3, 1 << 4).error, CacheError::kNoEnt);
  // Nobody may overwrite what the sum of the others covers.
  kit_.Check();
  const CacheAlloc in = kit_.In(entry + 7, 1 << 4);
  ASSERT_NE(in.folio, nullptr);
  EXPECT_EQ(space_.WordAt(entry + 2).count(), 0u);
  EXPECT_EQ(space_.WordAt(entry + 7).count(), 1u);
  kit_.Detach(in.folio);
  EXPECT_EQ(space_.used_slots(), 16u);
  space_.PutEntries(entry, 2);
  space_.PutEntries(entry + 7, 9);
  EXPECT_EQ(space_.used_slots(), 0u);
}

TEST_F(SwapSpaceTest, DetachingFreesThePartsThatNobodyOwns) {
  kit_.AddCluster();
  Folio* folio = kit_.Attached(9);
  const SwapEntry entry = folio->entry;
  space_.PutEntries(entry, 32);
  space_.PutEntries(entry + 48, 3);
  EXPECT_EQ(space_.used_slots(), 512u);
  kit_.Detach(folio);
  EXPECT_EQ(space_.used_slots(), 480u);
  EXPECT_TRUE(space_.WordAt(entry).is_null());
  EXPECT_TRUE(space_.WordAt(entry + 48).is_shadow());
}

// --- fork ---

TEST_F(SwapSpaceTest, ForkedEntriesHaveEachTheirOwner) {
  kit_.AddCluster();
  const SwapEntry entry = kit_.Out(3);
  for (int i = 0; i < 20; ++i) space_.DupEntries(entry, 8);
  kit_.Check();
  for (int i = 0; i < 20; ++i) space_.PutEntries(entry, 8);
  EXPECT_EQ(space_.used_slots(), 8u);
  space_.PutEntries(entry, 8);
  EXPECT_EQ(space_.used_slots(), 0u);
}

// --- clusters ---

TEST_F(SwapSpaceTest, OnlyFreeClustersAreGivenBackAndSomeAreKept) {
  for (int i = 0; i < 5; ++i) kit_.AddCluster();
  const SwapEntry entry = kit_.Out(9);
  const ClusterGrant used = space_.GrantOf(entry);
  const auto some = space_.RemoveFreeClusters(1, 0);
  EXPECT_EQ(some.size(), 1u);
  const auto rest = space_.RemoveFreeClusters(10, 1);
  EXPECT_EQ(rest.size(), 2u);
  EXPECT_EQ(space_.clusters(), 2u);
  EXPECT_EQ(space_.free_clusters(), 1u);
  for (const ClusterGrant& grant : rest) EXPECT_NE(grant, used);
  EXPECT_NE(some[0], used);
  EXPECT_EQ(space_.RemoveFreeClusters(10, 0).size(), 1u);
  EXPECT_EQ(space_.RemoveFreeClusters(10, 0).size(), 0u);
}

TEST_F(SwapSpaceTest, AHintToAClusterThatWasGivenBackIsNotUsed) {
  kit_.AddCluster();
  space_.PutEntries(kit_.Out(0), 1);  // The hint names it now.
  ASSERT_EQ(space_.RemoveFreeClusters(1, 0).size(), 1u);
  Folio* folio = kit_.Make(0);
  EXPECT_FALSE(space_.FolioAllocSwap(folio));
  // The index is reused, with the new grant.
  EXPECT_EQ(space_.AddCluster({55, 66, 0}), 0u);
  ASSERT_TRUE(space_.FolioAllocSwap(folio));
  EXPECT_EQ(space_.GrantOf(folio->entry), (ClusterGrant{55, 66, 0}));
  EXPECT_TRUE(space_.FolioFreeSwap(folio));
  kit_.Release(folio);
}

TEST_F(SwapSpaceTest, CachedOnlyFoliosAreFoundInRotation) {
  for (int i = 0; i < 3; ++i) kit_.AddCluster();
  std::vector<Folio*> unowned;
  for (int i = 0; i < 2; ++i) {
    Folio* folio = kit_.Attached(9);
    space_.FolioPutSwap(folio);
    unowned.push_back(folio);
  }
  Folio* owned = kit_.Attached(4);
  Folio* small = kit_.Attached(4);
  space_.FolioPutSwap(small);
  unowned.push_back(small);
  const auto first = space_.CollectCachedOnly(1);
  const auto second = space_.CollectCachedOnly(1);
  ASSERT_EQ(first.size(), 1u);
  ASSERT_EQ(second.size(), 1u);
  EXPECT_NE(first[0], second[0]);
  const auto all = space_.CollectCachedOnly(10);
  EXPECT_EQ(all.size(), 3u);
  for (Folio* folio : all) EXPECT_NE(folio, owned);
  for (const auto& folios : {first, second, all}) {
    for (Folio* folio : folios) kit_.folios.Put(folio);
  }
  for (Folio* folio : unowned) {
    EXPECT_TRUE(space_.FolioFreeSwap(folio));
    kit_.Release(folio);
  }
  kit_.Finish(owned);
}

TEST_F(SwapSpaceTest, RetiredClusterServesNoMoreAndIsForgotten) {
  const ClusterIndex index = space_.AddCluster({7, 3, 1});
  const SwapEntry entry = kit_.Out(4);
  ASSERT_EQ(entry.cluster(), index);
  space_.RetireCluster(index);
  Folio* folio = kit_.Make(4);
  EXPECT_FALSE(space_.FolioAllocSwap(folio));
  kit_.Release(folio);
  EXPECT_EQ(space_.clusters(), 1u);
  space_.PutEntries(entry, 16);
  EXPECT_EQ(space_.clusters(), 0u);
  EXPECT_EQ(space_.free_clusters(), 0u);
}

TEST_F(SwapSpaceTest, RetiringAFreeClusterForgetsItAtOnce) {
  space_.RetireCluster(space_.AddCluster({7, 3, 1}));
  EXPECT_EQ(space_.clusters(), 0u);
  EXPECT_TRUE(space_.RemoveFreeClusters(1, 0).empty());
}

}  // namespace
}  // namespace farswap::core

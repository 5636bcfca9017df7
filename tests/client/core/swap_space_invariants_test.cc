// One test for each invariant of the swap space, by the numbers of the design.
// Beside each stands what was broken once to see it fail.
//
// Elsewhere: I1 (Bad), I3 (no wrap) in cluster_info_test; I18 in
// table_keeper_test and swap_space_race_test, as is one read a slot (I10); I26
// in swap_space_fragmentation_test. By tools: I9, no word is written without
// the cluster's lock, is proved by clang (--config=clang: every writer
// requires `mu`), and the order of locks by TSan over swap_space_race_test.
// The pager's and the transport's: the rest of I10 to I13, I19, I20, I22 to
// I25. client/core/README.md has the table.
#include <vector>

#include "client/core/cluster_info.h"
#include "client/core/cluster_lists.h"
#include "client/core/slot_allocator.h"
#include "client/core/swap_space.h"
#include "client/core/table_keeper.h"
#include "common/units.h"
#include "gtest/gtest.h"
#include "tests/client/core/swap_kit.h"

namespace farswap::core {
namespace {

class InvariantsTest : public testing::Test {
 protected:
  explicit InvariantsTest(size_t clusters = 2) : kit_(clusters) {}
  void TearDown() override { kit_.Check(); }
  SwapWord At(SwapEntry entry) { return kit_.space.WordAt(entry); }

  SwapKit kit_;
  SwapSpace& space_ = kit_.space;
};

// Broken by: SwapWord::ToShadow leaving kTypeCached set (type 3).
TEST_F(InvariantsTest, I1AWordIsExactlyOneOfItsTypesThroughItsLife) {
  using Type = SwapWord::Type;
  Folio* folio = kit_.Make(0);
  ASSERT_TRUE(space_.FolioAllocSwap(folio));
  const SwapEntry entry = folio->entry;
  EXPECT_EQ(At(entry).type(), Type::kCached);
  EXPECT_EQ(At(entry).count(), 0u);
  space_.FolioDupSwap(folio);
  EXPECT_EQ(At(entry).type(), Type::kCached);
  kit_.Detach(folio);
  EXPECT_EQ(At(entry).type(), Type::kShadow);
  folio = kit_.In(entry, 1).folio;
  EXPECT_EQ(At(entry).type(), Type::kCached);
  space_.FolioPutSwap(folio);
  EXPECT_EQ(At(entry).type(), Type::kCached);
  ASSERT_TRUE(space_.FolioFreeSwap(folio));
  kit_.Release(folio);
  EXPECT_EQ(At(entry).type(), Type::kNull);
  EXPECT_EQ(At(entry).raw(), 0u);
}

// Broken by: ClusterInfo::DropOwner without ReleasePart.
TEST_F(InvariantsTest, I2AShadowHasAnOwnerOrItsPartHas) {
  const SwapEntry one = kit_.Out(0);
  space_.PutEntries(one, 1);
  EXPECT_TRUE(At(one).is_null());
  const SwapEntry part = kit_.Out(4);
  space_.PutEntries(part, 15);
  for (uint32_t i = 0; i < 16; ++i) EXPECT_TRUE(At(part + i).is_shadow());
  space_.PutEntries(part + 15, 1);
  for (uint32_t i = 0; i < 16; ++i) EXPECT_TRUE(At(part + i).is_null());
  kit_.Check();
}

// Broken by: SetOverflow never deleting the table; kMaxInlineCount compared
// with < in SetOwners.
TEST_F(InvariantsTest, I3CountsPastSixAreExactAndTheirTableGoes) {
  const SwapEntry entry = kit_.Out(0);
  const size_t before = space_.MetadataBytes();
  for (int owners = 2; owners <= 1000; ++owners) {
    space_.DupEntries(entry, 1);
    ASSERT_EQ(At(entry).count(), owners < 7 ? owners : 7);
    ASSERT_EQ(space_.MetadataBytes() - before,
              owners < 7 ? 0 : sizeof(OverflowTable));
  }
  kit_.Check();
  for (int owners = 999; owners >= 1; --owners) {
    space_.PutEntries(entry, 1);
    ASSERT_EQ(At(entry).count(), owners < 7 ? owners : 7);
  }
  EXPECT_EQ(space_.MetadataBytes(), before);
  space_.PutEntries(entry, 1);
  EXPECT_TRUE(At(entry).is_null());
}

// Broken by: Settle not freeing the table.
TEST_F(InvariantsTest, I4AFreeClusterHasNoTableAndNoOrder) {
  const size_t idle = space_.MetadataBytes();
  const SwapEntry entry = kit_.Out(4);
  EXPECT_EQ(space_.MetadataBytes(), idle + kPageBytes);
  EXPECT_EQ(space_.used_slots(), 16u);
  EXPECT_EQ(space_.free_clusters(), 1u);
  space_.PutEntries(entry, 16);
  EXPECT_EQ(space_.MetadataBytes(), idle);
  EXPECT_EQ(space_.free_clusters(), 2u);
  // No order is left over: each may take the cluster now.
  for (int order = 0; order < kOrders; ++order) {
    const SwapEntry again = kit_.Out(order);
    space_.PutEntries(again, PagesOf(order));
    EXPECT_EQ(space_.free_clusters(), 2u) << order;
  }
}

// Broken by: TryCluster leaving a full cluster on frag; MoveLocked not
// removing from the old list.
TEST_F(InvariantsTest, I5AClusterIsOnTheListItsStateNames) {
  ClusterLists lists;
  TableKeeper tables(&lists);
  SlotAllocator slots(&lists, &tables);
  const ClusterIndex index = lists.Make();
  ClusterInfo& cluster = lists.At(index);
  const auto expect = [&](ClusterState state, int order) {
    lists.CheckInvariants();
    EXPECT_EQ(lists.Length(state, order), 1u);
    MutexLock lock(&cluster.mu);
    EXPECT_EQ(cluster.state, state);
    EXPECT_EQ(cluster.order, order);
  };
  const auto free = [&](uint32_t slot, uint32_t pages) {
    MutexLock lock(&cluster.mu);
    const auto before = SlotAllocator::Before(cluster);
    cluster.ToNull(slot, pages);
    slots.Settle(cluster, index, before);
  };
  {
    MutexLock lock(&cluster.mu);
    lists.Move(cluster, index, ClusterState::kFree, 0);
  }
  expect(ClusterState::kFree, 0);
  EXPECT_TRUE(slots.Allocate(8, 1));
  expect(ClusterState::kFrag, 8);
  EXPECT_TRUE(slots.Allocate(8, 2));
  expect(ClusterState::kFull, 8);
  free(0, 256);
  expect(ClusterState::kNonfull, 8);
  EXPECT_FALSE(slots.Allocate(9, 3));
  expect(ClusterState::kNonfull, 8);
  EXPECT_TRUE(slots.Allocate(0, 3));  // Stolen; the cluster keeps its order.
  expect(ClusterState::kFrag, 8);
  EXPECT_FALSE(slots.Allocate(8, 4));
  free(0, 1);
  expect(ClusterState::kNonfull, 8);
  free(256, 256);
  expect(ClusterState::kFree, 0);
}

// Broken by: FindNull going on by one slot instead of by the folio's pages.
TEST_F(InvariantsTest, I6TheWordsOfAFolioAreInARowAlignedAndAlike) {
  for (uint32_t i = 0; i < kSlotsPerCluster; ++i) kit_.Out(0);
  std::vector<Folio*> folios;
  // The pages among them are stolen from the larger folios' cluster.
  for (const int order : {3, 0, 3, 0, 0, 3, 0, 3}) {
    Folio* folio = kit_.Attached(order);
    ASSERT_NE(folio, nullptr);
    EXPECT_EQ(folio->entry.cluster(), 1u);
    EXPECT_EQ(folio->entry, folio->entry.AlignedTo(order));
    for (uint32_t i = 0; i < PagesOf(order); ++i) {
      EXPECT_EQ(At(folio->entry + i).folio(), folio->id);
      EXPECT_EQ(At(folio->entry + i).zero(), false);
    }
    folios.push_back(folio);
  }
  kit_.Check();
  for (Folio* folio : folios) kit_.Finish(folio);
}

// Broken by: Usable returning true for every order.
TEST_F(InvariantsTest, I7AClusterServesOneOrderAndOrderZeroStealsLast) {
  // A hint of order 3 to a cluster that will serve another order.
  const SwapEntry gone = kit_.Out(3);
  space_.PutEntries(gone, 8);
  const SwapEntry large = kit_.Out(4);
  const SwapEntry small = kit_.Out(0);
  EXPECT_NE(large.cluster(), small.cluster());
  EXPECT_EQ(kit_.Attached(3), nullptr);  // No third cluster for order 3.
  for (uint32_t i = 1; i < kSlotsPerCluster; ++i) {
    EXPECT_EQ(kit_.Out(0).cluster(), small.cluster());
  }
  EXPECT_EQ(kit_.Out(0).cluster(), large.cluster());  // Better than failing.
  EXPECT_EQ(kit_.Out(4).cluster(), large.cluster());
  kit_.Check();
}

// Broken by: FolioDupSwap without its check.
TEST(InvariantsDeathTest, I8TheFirstOwnerIsForAnAttachedFolioOnly) {
  SwapKit kit(1);
  Folio* folio = kit.Make(0);
  ASSERT_TRUE(kit.space.FolioAllocSwap(folio));
  const SwapEntry entry = folio->entry;
  // Not through the entry, while it has none,
  EXPECT_DEATH(kit.space.DupEntries(entry, 1), "check failed");
  ASSERT_TRUE(kit.space.FolioFreeSwap(folio));
  // nor through a folio whose slots are gone.
  EXPECT_DEATH(kit.space.FolioDupSwap(folio), "check failed");
  EXPECT_DEATH(kit.space.DupEntries(entry, 1), "check failed");
  EXPECT_DEATH(kit.space.PutEntries(entry, 1), "check failed");
  kit.Release(folio);
}

// What is fetched is attached first, all of it. Broken by: Attach passing one
// page less to ToCached; Attach not setting `reading`.
TEST_F(InvariantsTest, I11WhatIsFetchedIsInTheCacheBefore) {
  for (const int order : {0, 4, 9}) {
    const SwapEntry entry = kit_.Out(order);
    Folio* folio = kit_.In(entry, 1u << order).folio;
    ASSERT_NE(folio, nullptr);
    EXPECT_TRUE(folio->reading && folio->has_swap);
    EXPECT_EQ(folio->entry, entry);
    for (uint32_t i = 0; i < PagesOf(order); ++i) {
      EXPECT_TRUE(At(entry + i).is_cached());
      EXPECT_EQ(At(entry + i).folio(), folio->id);
    }
    // So nobody else may fetch any of it, nor take its slots.
    EXPECT_EQ(kit_.In(entry + (PagesOf(order) - 1), 1).error,
              CacheError::kExist);
    EXPECT_FALSE(space_.FolioFreeSwap(folio));
    kit_.Finish(folio);
  }
}

// Broken by: ToShadow without the age; ToShadow clearing Z; ToCached clearing
// the sum (SwapWord::With masking it out).
TEST_F(InvariantsTest, I12AFailedReadLeavesTheWordsAsTheyWere) {
  for (const bool zero : {false, true}) {
    for (const int order : {0, 4, 9}) {
      const SwapEntry entry = kit_.Out(order, zero, /*age=*/4711 + order);
      const uint32_t pages = PagesOf(order);
      std::vector<SwapWord> before;
      for (uint32_t i = 0; i < pages; ++i) before.push_back(At(entry + i));
      ASSERT_EQ(before.back().age(), 4711u + order);
      ASSERT_EQ(before.back().zero(), zero);
      ASSERT_EQ(before.front().sum(), zero ? 0 : 1000u);
      ASSERT_EQ(before.back().tail(), !zero && order > 0);
      const CacheAlloc in = kit_.In(entry, 1u << order);
      ASSERT_NE(in.folio, nullptr);
      kit_.Detach(in.folio, in.age);  // The get failed.
      for (uint32_t i = 0; i < pages; ++i) {
        ASSERT_EQ(At(entry + i), before[i]) << "slot " << i;
      }
      space_.PutEntries(entry, pages);
    }
  }
}

// Broken by: TryAttach looping on kExist at the next lower order.
TEST_F(InvariantsTest, I14OneWinnerEndsTheAttemptOfEachLoser) {
  const SwapEntry entry = kit_.Out(9);
  Folio* winner = kit_.In(entry, 1 << 9).folio;
  int allocs = 0;
  const CacheAlloc loser = space_.SwapCacheAllocFolio(
      entry + 77, (1 << kOrders) - 1, [&](int order) {
        ++allocs;
        return kit_.Make(order);
      });
  EXPECT_EQ(loser.error, CacheError::kExist);
  EXPECT_EQ(allocs, 0);  // Found out before memory was asked for.
  EXPECT_EQ(loser.fallbacks.conflict + loser.fallbacks.alloc, 0u);
  Folio* found = space_.SwapCacheGetFolio(entry + 77);
  EXPECT_EQ(found, winner);
  kit_.folios.Put(found);
  kit_.Finish(winner);
}

// Broken by: FitOf without comparing zero().
TEST_F(InvariantsTest, I15ARangeOfMixedZeroIsNeverOneFolio) {
  const SwapEntry entry = kit_.Out(9, /*zero=*/true);
  CacheAlloc in = kit_.In(entry + 16, 1 << 4);
  ASSERT_NE(in.folio, nullptr);
  EXPECT_TRUE(in.zero);
  kit_.SetSums(entry + 16, 4, /*zero=*/false);
  kit_.Detach(in.folio);
  in = kit_.In(entry + 3, 1 << 9 | 1 << 5 | 1 << 4);
  ASSERT_NE(in.folio, nullptr);
  EXPECT_EQ(in.folio->order, 4);
  EXPECT_TRUE(in.zero);
  EXPECT_EQ(in.fallbacks.conflict, 2u);
  kit_.Finish(in.folio);
  in = kit_.In(entry + 17, 1 << 4);
  EXPECT_FALSE(in.zero);
  kit_.Finish(in.folio);
}

// Broken by: SetPart without WithZero(false); ToNull keeping the Z bit.
TEST_F(InvariantsTest, I16ZeroIsGoneBeforeTheSlotIsReused) {
  const SwapEntry entry = kit_.Out(4, /*zero=*/true);
  Folio* folio = kit_.In(entry, 1 << 4).folio;
  EXPECT_TRUE(At(entry + 15).zero());
  kit_.SetSums(entry, 4, /*zero=*/false);  // It was written meanwhile.
  for (uint32_t i = 0; i < 16; ++i) EXPECT_FALSE(At(entry + i).zero());
  kit_.SetSums(entry, 4, /*zero=*/true);
  kit_.Finish(folio);
  Folio* next = kit_.Make(4);
  ASSERT_TRUE(space_.FolioAllocSwap(next));
  for (uint32_t i = 0; i < 16; ++i) {
    EXPECT_EQ(At(next->entry + i), SwapWord::Attached(next->id));
  }
  ASSERT_TRUE(space_.FolioFreeSwap(next));
  kit_.Release(next);
}

// Broken by: TryAttach not uncharging the folio that lost.
TEST_F(InvariantsTest, I17ChargesAreThoseOfTheFoliosThatLive) {
  const SwapEntry entry = kit_.Out(4);
  Folio* live = kit_.Attached(9);
  EXPECT_EQ(kit_.group.usage(), 512u);
  Folio* winner = nullptr;
  space_.SwapCacheAllocFolio(entry, 1 << 4, [&](int order) {
    winner = kit_.In(entry, 1 << 4).folio;
    return kit_.Make(order);
  });
  EXPECT_EQ(kit_.group.usage(), 512u + 16u);
  EXPECT_EQ(kit_.folios.in_use(), 2u);
  kit_.Finish(live);
  kit_.Finish(winner);
  EXPECT_EQ(kit_.group.usage(), 0u);
}

// Broken by: Settle not counting used_slots_ down.
TEST_F(InvariantsTest, I21AfterADrainNothingIsLeft) {
  const size_t idle = space_.MetadataBytes();
  std::vector<SwapEntry> entries;
  for (int i = 0; i < 16; ++i) entries.push_back(kit_.Out(5, i % 2 == 0));
  space_.DupEntries(entries[3], 32);
  for (const SwapEntry entry : entries) space_.PutEntries(entry, 32);
  space_.PutEntries(entries[3], 32);
  EXPECT_EQ(space_.used_slots(), 0u);
  EXPECT_EQ(space_.MetadataBytes(), idle);
  EXPECT_EQ(kit_.folios.in_use(), 0u);
  EXPECT_EQ(space_.RemoveFreeClusters(10, 0).size(), 2u);
  EXPECT_EQ(space_.clusters(), 0u);
  kit_.Check();
}

}  // namespace
}  // namespace farswap::core

#include <memory>
#include <vector>

#include "client/core/memory_group.h"
#include "client/core/swap_space.h"
#include "common/units.h"
#include "gtest/gtest.h"

namespace farswap::core {
namespace {

// Slots are charged from when they are given out until they are free, whoever
// frees them. Seen to fail with each of the three uncharges left out.
TEST(SwapSpaceChargeTest, SlotsAreChargedWhileTheyAreUsed) {
  FolioArena folios;
  SwapSpace space(&folios);
  MemoryGroup group(&folios, 1 << 20);
  group.SetSwapLimit(3 * kPagesPerPart);
  space.AddCluster({1, 1, 0});
  std::vector<Folio*> parts;
  for (int i = 0; i < 4; ++i) {
    parts.push_back(folios.Allocate(kPartOrder, &group, nullptr, 0));
  }
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(space.FolioAllocSwap(parts[i]));
  EXPECT_EQ(group.swap_usage(), 3u * kPagesPerPart);
  MemoryGroup* over = nullptr;
  EXPECT_FALSE(space.FolioAllocSwap(parts[3], &over));
  EXPECT_EQ(over, &group);
  // In place of others, past the limit.
  ASSERT_TRUE(space.FolioReplaceSwap(parts[3]));
  EXPECT_EQ(group.swap_usage(), 4u * kPagesPerPart);

  // By their folio.
  ASSERT_TRUE(space.FolioFreeSwap(parts[0]));
  EXPECT_EQ(group.swap_usage(), 3u * kPagesPerPart);
  // By detaching it, of those that have no owner.
  space.SwapCacheDelFolio(parts[1], 0);
  EXPECT_EQ(group.swap_usage(), 2u * kPagesPerPart);
  // By their last owner.
  const SwapEntry entry = parts[2]->entry;
  space.FolioDupSwap(parts[2]);
  space.SetSums(entry, kPartOrder, /*zero=*/true, {});
  space.SwapCacheDelFolio(parts[2], 0);
  EXPECT_EQ(group.swap_usage(), 2u * kPagesPerPart);
  space.PutEntries(entry, kPagesPerPart, &group);
  EXPECT_EQ(group.swap_usage(), 1u * kPagesPerPart);
  ASSERT_TRUE(space.FolioFreeSwap(parts[3]));
  EXPECT_EQ(group.swap_usage(), 0u);
  // No cluster: nothing stays charged.
  SwapSpace empty(&folios);
  EXPECT_FALSE(empty.FolioAllocSwap(parts[0], &over));
  EXPECT_EQ(over, nullptr);
  EXPECT_EQ(group.swap_usage(), 0u);
  for (Folio* part : parts) folios.Put(part);
}

// At its swap limit a group gives up its own copies, and those of the groups
// below it.
TEST(SwapSpaceChargeTest, CachedOnlyFoliosAreFoundByGroup) {
  FolioArena folios;
  SwapSpace space(&folios);
  const auto top = std::make_shared<MemoryGroup>(&folios, 1 << 20);
  MemoryGroup below(&folios, 1 << 20, top);
  MemoryGroup apart(&folios, 1 << 20);
  space.AddCluster({1, 1, 0});
  std::vector<Folio*> parts;
  for (MemoryGroup* group : {top.get(), &below, &apart}) {
    parts.push_back(folios.Allocate(kPartOrder, group, nullptr, 0));
    ASSERT_TRUE(space.FolioAllocSwap(parts.back()));
  }
  const auto collect = [&](const MemoryGroup* within) {
    std::vector<Folio*> found = space.CollectCachedOnly(10, within);
    for (Folio* folio : found) folios.Put(folio);
    return found;
  };
  EXPECT_EQ(collect(nullptr).size(), 3u);
  EXPECT_EQ(collect(top.get()), std::vector<Folio*>({parts[0], parts[1]}));
  EXPECT_EQ(collect(&below), std::vector<Folio*>({parts[1]}));
  EXPECT_EQ(collect(&apart), std::vector<Folio*>({parts[2]}));
  for (Folio* part : parts) {
    EXPECT_TRUE(space.FolioFreeSwap(part));
    folios.Put(part);
  }
}

}  // namespace
}  // namespace farswap::core

#include "client/core/memory_group.h"

#include <vector>

#include "common/units.h"
#include "gtest/gtest.h"

namespace farswap::core {
namespace {

class MemoryGroupTest : public testing::Test {
 protected:
  Folio* Make(int order = 0) {
    return folios_.Allocate(order, &group_, nullptr, 0);
  }
  std::vector<Folio*> Isolate(uint64_t pages) {
    std::vector<Folio*> victims;
    group_.LruIsolate(pages, &victims);
    return victims;
  }
  void Drop(Folio* folio) { Drop(folio, &group_); }
  void Drop(Folio* folio, MemoryGroup* group) {
    group->LruDel(folio);
    folios_.Put(folio);
  }

  FolioArena folios_;
  MemoryGroup group_{&folios_, 1024};
};

TEST_F(MemoryGroupTest, NeverPassesTheLimit) {
  EXPECT_TRUE(group_.TryCharge(1000));
  EXPECT_FALSE(group_.TryCharge(25));
  EXPECT_EQ(group_.usage(), 1000u);
  EXPECT_TRUE(group_.TryCharge(24));
  EXPECT_FALSE(group_.TryCharge(1));
  EXPECT_FALSE(group_.TryCharge(UINT64_MAX));
  group_.Uncharge(512);
  EXPECT_EQ(group_.usage(), 512u);
  EXPECT_EQ(group_.Stats().peak_pages, 1024u);
}

TEST_F(MemoryGroupTest, ALowerLimitTakesEffectAtTheNextCharge) {
  ASSERT_TRUE(group_.TryCharge(1000));
  group_.SetLimit(512);
  EXPECT_FALSE(group_.TryCharge(1));
  // 1000 used, 512 allowed: 488 too many, and high() of it to be free.
  EXPECT_EQ(group_.ReclaimTarget(), 488 + group_.high());
}

TEST_F(MemoryGroupTest, PinnedFoliosAreOnNoList) {
  MemoryGroup group(&folios_, 4096);  // 2048 of them may be pinned.
  Folio* folios[3];
  for (Folio*& folio : folios) {
    folio = folios_.Allocate(9, &group, nullptr, 0);
    group.LruAdd(folio, /*active=*/false);
  }
  EXPECT_EQ(group.LruPin(folios[0]), MemoryGroup::Pin::kDone);
  EXPECT_EQ(group.LruPin(folios[0]), MemoryGroup::Pin::kBusy);
  std::vector<Folio*> victims;
  EXPECT_EQ(group.LruIsolate(4096, &victims), 1024u);
  EXPECT_EQ(victims, (std::vector<Folio*>{folios[1], folios[2]}));
  EXPECT_FALSE(group.LruIsolateFolio(folios[0]));
  EXPECT_EQ(group.LruPin(folios[1]), MemoryGroup::Pin::kBusy) << "isolated";
  for (Folio* victim : victims) {
    group.LruPutback(victim, /*active=*/false);
    folios_.Put(victim);
  }
  EXPECT_TRUE(group.IsPinned(folios[0]));
  EXPECT_EQ(group.pinned(), 512u);
  EXPECT_TRUE(group.LruUnpin(folios[0]));
  EXPECT_FALSE(group.LruUnpin(folios[0]));
  EXPECT_EQ(group.Stats().active_pages, 512u);
  EXPECT_EQ(group.LruPin(folios[1]), MemoryGroup::Pin::kDone);
  group.CheckInvariants();
  for (Folio* folio : folios) Drop(folio, &group);
  EXPECT_EQ(group.pinned(), 0u) << "who goes is pinned no more";
}

TEST_F(MemoryGroupTest, PinsLeaveTheRestItsRoom) {
  struct Case {
    uint64_t limit, most;
  } const cases[] = {
      {2048, 0},                                          // 8 MiB: nothing.
      {4096, 2048},                                       // All but 8 MiB.
      {1 << 16, (1 << 16) - 4096},                        // But a 16th.
      {uint64_t{1} << 28, (uint64_t{1} << 28) - 32768}};  // But 128 MiB.
  for (const Case& c : cases) {
    const MemoryGroup group(&folios_, c.limit);
    EXPECT_TRUE(group.CanPin(c.most)) << c.limit;
    EXPECT_FALSE(group.CanPin(c.most + 1)) << c.limit;
    EXPECT_FALSE(group.CanPin(UINT64_MAX)) << c.limit;
    // Reclaim comes to rest with as much pinned.
    EXPECT_LE(group.high(), (c.limit - c.most) / 2) << c.limit;
  }
  MemoryGroup group(&folios_, 4096);
  Folio* const folio = folios_.Allocate(9, &group, nullptr, 0);
  group.LruAdd(folio, /*active=*/false);
  ASSERT_EQ(group.LruPin(folio), MemoryGroup::Pin::kDone);
  EXPECT_FALSE(group.TrySetLimit(2048 + 511));
  EXPECT_EQ(group.limit(), 4096u);
  EXPECT_TRUE(group.TrySetLimit(2048 + 512));
  Drop(folio, &group);
  EXPECT_TRUE(group.TrySetLimit(2048));
}

TEST_F(MemoryGroupTest, WatermarksByLimit) {
  struct Case {
    uint64_t limit, low, high;
  } const cases[] = {
      {16, 4, 8},              // A quarter, a half.
      {1024, 256, 512},        //
      {1 << 14, 512, 1024},    // The floor: a PMD folio.
      {1 << 16, 1024, 2048},   // A 64th.
      {1 << 19, 8192, 16384},  // The ceiling.
      {uint64_t{1} << 28, 8192, 16384},
  };
  for (const Case& c : cases) {
    group_.SetLimit(c.limit);
    EXPECT_EQ(group_.low(), c.low) << c.limit;
    EXPECT_EQ(group_.high(), c.high) << c.limit;
  }
}

TEST_F(MemoryGroupTest, ReclaimStartsBelowLowAndGoesToHigh) {
  ASSERT_TRUE(group_.TryCharge(1024 - 256));
  EXPECT_EQ(group_.ReclaimTarget(), 0u);
  ASSERT_TRUE(group_.TryCharge(1));
  EXPECT_EQ(group_.ReclaimTarget(), 257u);  // To 512 free.
}

TEST_F(MemoryGroupTest, VictimsComeFromTheInactiveTail) {
  Folio* a = Make();
  Folio* b = Make(2);
  Folio* c = Make();
  for (Folio* folio : {a, b, c}) group_.LruAdd(folio, /*active=*/false);
  group_.CheckInvariants();
  EXPECT_EQ(Isolate(2), (std::vector<Folio*>{a, b}));
  EXPECT_EQ(a->lru, LruList::kIsolated);
  EXPECT_EQ(a->refs.load(), 2u);
  EXPECT_EQ(group_.Stats().inactive_pages, 1u);
  group_.LruPutback(a, /*active=*/false);
  group_.LruPutback(b, /*active=*/true);
  group_.CheckInvariants();
  EXPECT_EQ(group_.Stats().inactive_pages, 2u);
  EXPECT_EQ(group_.Stats().active_pages, 4u);
  folios_.Put(a);
  folios_.Put(b);
  for (Folio* folio : {a, b, c}) Drop(folio);
  EXPECT_EQ(folios_.in_use(), 0u);
}

TEST_F(MemoryGroupTest, PutbackOfADeletedFolioDoesNothing) {
  Folio* a = Make();
  group_.LruAdd(a, false);
  ASSERT_EQ(Isolate(1).size(), 1u);
  group_.LruDel(a);
  group_.LruPutback(a, false);
  EXPECT_EQ(a->lru, LruList::kNone);
  EXPECT_EQ(group_.Stats().inactive_pages, 0u);
  folios_.Put(a);
  folios_.Put(a);
}

TEST_F(MemoryGroupTest, InactiveIsRefilledFromActive) {
  std::vector<Folio*> all;
  for (int i = 0; i < 10; ++i) all.push_back(Make());
  for (Folio* folio : all) group_.LruAdd(folio, /*active=*/true);
  // With nothing inactive the oldest active ones are taken, not none.
  EXPECT_EQ(Isolate(2), (std::vector<Folio*>{all[0], all[1]}));
  EXPECT_GE(group_.Stats().inactive_pages, 2u);
  group_.CheckInvariants();
  for (Folio* folio : {all[0], all[1]}) folios_.Put(folio);
  for (Folio* folio : all) Drop(folio);
}

TEST_F(MemoryGroupTest, ARefaultThatComesSoonIsActivated) {
  std::vector<Folio*> all;
  for (int i = 0; i < 1024; ++i) all.push_back(Make());
  for (Folio* folio : all) group_.LruAdd(folio, false);
  // An 8th of 1024 pages is soon; ages are in units of 16.
  const uint32_t age = group_.Evict(1);
  group_.Evict(111);
  EXPECT_TRUE(group_.Refault(age, 1, /*was_active=*/false));
  group_.Evict(64);
  EXPECT_FALSE(group_.Refault(age, 1, true));
  EXPECT_TRUE(group_.Refault(group_.Evict(1), 1, true));
  const MemoryGroupStats stats = group_.Stats();
  EXPECT_EQ(stats.workingset_refault, 3u);
  EXPECT_EQ(stats.workingset_activate, 2u);
  EXPECT_EQ(stats.workingset_restore, 1u);
  for (Folio* folio : all) Drop(folio);
}

// Active folios make room for what would be here still if they had not been
// active: half a page for each page.
TEST_F(MemoryGroupTest, ARefaultThatActiveStoodInTheWayOfChallengesIt) {
  std::vector<Folio*> active;
  std::vector<Folio*> inactive;
  for (int i = 0; i < 512; ++i) active.push_back(Make());
  for (int i = 0; i < 512; ++i) inactive.push_back(Make());
  for (Folio* folio : active) group_.LruAdd(folio, true);
  for (Folio* folio : inactive) group_.LruAdd(folio, false);
  const uint32_t age = group_.Evict(1);
  group_.Evict(300);  // Not soon, but less than 512.
  EXPECT_FALSE(group_.Refault(age, 1, false));
  EXPECT_EQ(group_.Stats().active_pages, 512u);
  EXPECT_FALSE(group_.Refault(age, 1, false));
  EXPECT_EQ(group_.Stats().active_pages, 511u);
  EXPECT_EQ(active[0]->lru, LruList::kInactive);
  EXPECT_FALSE(group_.Refault(age, 16, false));
  EXPECT_EQ(group_.Stats().active_pages, 503u);
  group_.Evict(300);  // With all of active's room it would have gone too.
  EXPECT_FALSE(group_.Refault(age, 16, false));
  EXPECT_EQ(group_.Stats().active_pages, 503u);
  group_.CheckInvariants();
  for (Folio* folio : active) Drop(folio);
  for (Folio* folio : inactive) Drop(folio);
}

TEST_F(MemoryGroupTest, A32ndOfTheLimitIsKeptAndTheLongestKeptGoFirst) {
  ASSERT_EQ(group_.keep_limit(), 32u);
  Folio* const large = Make(4);
  Folio* const small = Make();
  Folio* const other = Make(4);
  EXPECT_TRUE(group_.LruKeep(large));
  EXPECT_TRUE(group_.LruKeep(small));
  MemoryGroup* over = nullptr;
  EXPECT_FALSE(group_.LruKeep(other, &over));  // It would be the 33rd page.
  EXPECT_EQ(over, &group_);
  EXPECT_EQ(group_.kept(), 17u);
  EXPECT_TRUE(Isolate(1).empty());  // Unmapped ones are no victims.
  EXPECT_FALSE(group_.LruIsolateFolio(small));
  std::vector<Folio*> victims;
  EXPECT_EQ(group_.LruIsolateKept(1, &victims), 16u);
  EXPECT_EQ(victims, std::vector<Folio*>{large});
  EXPECT_EQ(group_.kept(), 1u);
  group_.CheckInvariants();
  folios_.Put(large);
  for (Folio* folio : {large, small, other}) Drop(folio);
  EXPECT_EQ(group_.kept(), 0u);
}

TEST_F(MemoryGroupTest, ASoftFaultEndsTheKeeping) {
  Folio* const folio = Make();
  ASSERT_TRUE(group_.LruKeep(folio));
  group_.LruDel(folio);
  group_.LruAdd(folio, /*active=*/true);
  EXPECT_EQ(group_.kept(), 0u);
  EXPECT_EQ(group_.Stats().active_pages, 1u);
  // Isolated by who drops it, and faulted on at that moment: he finds it gone.
  group_.LruDel(folio);
  ASSERT_TRUE(group_.LruKeep(folio));
  std::vector<Folio*> victims;
  ASSERT_EQ(group_.LruIsolateKept(1, &victims), 1u);
  group_.LruDel(folio);
  group_.LruAdd(folio, /*active=*/true);
  group_.LruPutback(folio, /*active=*/false);
  EXPECT_EQ(group_.Stats().active_pages, 1u);
  group_.CheckInvariants();
  folios_.Put(folio);
  Drop(folio);
}

TEST_F(MemoryGroupTest, TheKeepLimitFollowsTheLimit) {
  Folio* const folio = Make(4);
  ASSERT_TRUE(group_.LruKeep(folio));
  group_.SetLimit(64);
  EXPECT_EQ(group_.keep_limit(), 2u);
  Folio* const other = Make();
  EXPECT_FALSE(group_.LruKeep(other));
  group_.CheckInvariants();
  for (Folio* gone : {folio, other}) Drop(gone);
}

TEST(MemoryGroupLruTest, AReturnedFolioIsTheNextVictimAgain) {
  FolioArena folios;
  MemoryGroup group(&folios, 100);
  Folio* const first = folios.Allocate(0, &group, nullptr, 0);
  Folio* const second = folios.Allocate(0, &group, nullptr, 1);
  group.LruAdd(first, /*active=*/false);
  group.LruAdd(second, /*active=*/false);
  for (int turn = 0; turn < 2; ++turn) {
    std::vector<Folio*> victims;
    ASSERT_EQ(group.LruIsolate(1, &victims), 1u);
    EXPECT_EQ(victims.front(), first);
    group.LruReturn(first);
    group.CheckInvariants();
    folios.Put(first);
  }
  EXPECT_TRUE(group.LruIsolateFolio(second));
  EXPECT_FALSE(group.LruIsolateFolio(second));
  group.LruReturn(second);
  group.LruDel(second);
  EXPECT_FALSE(group.LruIsolateFolio(second));
  group.LruReturn(second);  // Of a folio that has gone: nothing.
  group.CheckInvariants();
  group.LruDel(first);
  folios.Put(first);
  folios.Put(second);
  folios.Put(second);
}

TEST(MemoryGroupChargeTest, ForceChargePassesTheLimitAndBlocksTheRest) {
  FolioArena folios;
  MemoryGroup group(&folios, 100);
  ASSERT_TRUE(group.TryCharge(100));
  group.ForceCharge(16);
  EXPECT_EQ(group.usage(), 116u);
  EXPECT_FALSE(group.TryCharge(1));
  EXPECT_GE(group.ReclaimTarget(), 16u);
  group.Uncharge(17);
  EXPECT_TRUE(group.TryCharge(1));
  EXPECT_FALSE(group.TryCharge(1));
}

}  // namespace
}  // namespace farswap::core

// Groups below groups: charges, limits, and whose folios are victims.
#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "client/core/memory_group.h"
#include "common/units.h"
#include "gtest/gtest.h"
#include "tests/client/core/swap_kit.h"

namespace farswap::core {
namespace {

using Group = std::shared_ptr<MemoryGroup>;

class MemoryGroupTreeTest : public testing::Test {
 protected:
  Group Make(uint64_t limit, Group parent = nullptr) {
    return std::make_shared<MemoryGroup>(&folios_, limit, std::move(parent));
  }
  Folio* Map(const Group& group, int order = 0) {
    EXPECT_TRUE(group->TryCharge(PagesOf(order)));
    Folio* folio = folios_.Allocate(order, group.get(), nullptr, 0);
    group->LruAdd(folio, /*active=*/false);
    return folio;
  }
  void Map(const Group& group, int order, int count) {
    for (int i = 0; i < count; ++i) Map(group, order);
  }
  // Takes that many pages out from below the group; how many of each group.
  std::map<MemoryGroup*, uint64_t> TakeOut(const Group& group, uint64_t pages) {
    std::vector<Folio*> victims;
    group->LruIsolate(pages, &victims);
    std::map<MemoryGroup*, uint64_t> taken;
    for (Folio* folio : victims) {
      taken[folio->group] += PagesOf(folio->order);
      Free(folio);
      folios_.Put(folio);  // Isolation's.
    }
    return taken;
  }
  void Free(Folio* folio) {
    folio->group->LruDel(folio);
    folio->group->Uncharge(PagesOf(folio->order));
    folios_.Put(folio);
  }

  FolioArena folios_;
};

TEST_F(MemoryGroupTreeTest, ARefusalNamesTheGroupThatIsOver) {
  const Group root = Make(100);
  const Group middle = Make(50, root);
  const Group leaf = Make(MemoryGroup::kNoLimit, middle);
  const Group other = Make(MemoryGroup::kNoLimit, root);
  EXPECT_EQ(leaf->depth(), 3);
  EXPECT_EQ(leaf->parent(), middle.get());
  ASSERT_TRUE(leaf->TryCharge(40));
  MemoryGroup* over = nullptr;
  EXPECT_FALSE(leaf->TryCharge(11, &over));
  EXPECT_EQ(over, middle.get());
  ASSERT_TRUE(other->TryCharge(55));
  EXPECT_FALSE(leaf->TryCharge(6, &over));
  EXPECT_EQ(over, root.get());
  EXPECT_EQ(leaf->usage(), 40u);
  EXPECT_EQ(root->usage(), 95u);
  root->CheckInvariants();
  leaf->Uncharge(40);
  other->Uncharge(55);
  EXPECT_EQ(root->usage(), 0u);
  EXPECT_EQ(root->Stats().peak_pages, 95u);
}

TEST_F(MemoryGroupTreeTest, SwapIsLimitedBesideMemory) {
  const Group root = Make(100);
  const Group leaf = Make(100, root);
  EXPECT_EQ(leaf->TryChargeSwap(1000), SwapCharge::kCharged);
  root->SetSwapLimit(1500);
  MemoryGroup* over = nullptr;
  EXPECT_EQ(leaf->TryChargeSwap(501, &over), SwapCharge::kOverLimit);
  EXPECT_EQ(over, root.get());
  EXPECT_EQ(leaf->TryChargeSwap(500, &over), SwapCharge::kCharged);
  // What is stored stays, under a lower limit; nothing is added to it.
  leaf->SetSwapLimit(10);
  EXPECT_EQ(leaf->TryChargeSwap(1, &over), SwapCharge::kOverLimit);
  EXPECT_EQ(over, leaf.get());
  EXPECT_EQ(leaf->swap_usage(), 1500u);
  EXPECT_TRUE(leaf->TryCharge(100));  // Memory is another matter.
  leaf->Uncharge(100);
  leaf->UnchargeSwap(1500);
  EXPECT_EQ(root->swap_usage(), 0u);
  EXPECT_EQ(root->Stats().swap_peak_pages, 1500u);
}

TEST_F(MemoryGroupTreeTest, TheGroupToReclaimIsTheNearestThatIsShort) {
  const Group root = Make(4096);
  const Group leaf = Make(MemoryGroup::kNoLimit, root);
  EXPECT_EQ(leaf->NeedsReclaim(), nullptr);
  ASSERT_TRUE(leaf->TryCharge(4096));
  EXPECT_EQ(leaf->NeedsReclaim(), root.get());
  leaf->SetLimit(4096);
  EXPECT_EQ(leaf->NeedsReclaim(), leaf.get());
  leaf->Uncharge(4096);
}

TEST_F(MemoryGroupTreeTest, ReclaimLooksAtAllBelowInProportion) {
  const Group root = Make(10'000);
  const Group small = Make(10'000, root);
  const Group large = Make(10'000, root);
  const Group deep = Make(10'000, large);
  Map(root, 0, 400);
  Map(small, 0, 800);
  Map(large, 0, 400);
  Map(deep, 0, 2400);
  auto taken = TakeOut(root, 400);
  // A tenth of each; the shares move a little as the groups shrink.
  EXPECT_NEAR(taken[root.get()], 40, 4);
  EXPECT_NEAR(taken[small.get()], 80, 4);
  EXPECT_NEAR(taken[large.get()], 40, 4);
  EXPECT_NEAR(taken[deep.get()], 240, 8);
  // Of a group below, nothing outside it.
  taken = TakeOut(large, 500);
  EXPECT_EQ(taken[large.get()] + taken[deep.get()], 500u);
  root->CheckInvariants();
  TakeOut(root, 10'000);
  EXPECT_EQ(root->usage(), 0u);
  EXPECT_EQ(folios_.in_use(), 0u);
}

// A PMD folio is 512 pages of what its group owes.
TEST_F(MemoryGroupTreeTest, SharesAreOfPagesNotOfFolios) {
  const Group root = Make(1 << 20);
  const Group huge = Make(1 << 20, root);
  const Group tiny = Make(1 << 20, root);
  Map(huge, kPmdOrder, 16);
  Map(tiny, 0, 16 * 512);
  // One at a time, as the pager asks.
  uint64_t from_huge = 0;
  uint64_t from_tiny = 0;
  while (from_huge + from_tiny < 8 * 512) {
    auto taken = TakeOut(root, 1);
    from_huge += taken[huge.get()];
    from_tiny += taken[tiny.get()];
  }
  EXPECT_NEAR(from_huge, 4 * 512, 512);
  TakeOut(root, 1 << 20);
}

// All of its folios are in somebody's hands: the others give.
TEST_F(MemoryGroupTreeTest, AGroupThatGivesNothingDoesNotStopReclaim) {
  const Group root = Make(1000);
  const Group busy = Make(1000, root);
  const Group idle = Make(1000, root);
  ASSERT_TRUE(busy->TryCharge(900));
  Map(idle, 0, 50);
  EXPECT_EQ(TakeOut(root, 100)[idle.get()], 50u);
  busy->Uncharge(900);
}

TEST_F(MemoryGroupTreeTest, KeptFoliosCountUpwardsAndAreDroppedFromAbove) {
  const Group root = Make(320);  // May keep 10 pages.
  const Group leaf = Make(3200, root);
  Folio* const first = Map(leaf, 3);
  Folio* const second = Map(leaf, 1);
  Folio* const third = Map(leaf, 0);
  for (Folio* folio : {first, second, third}) leaf->LruDel(folio);
  EXPECT_TRUE(leaf->LruKeep(first));
  EXPECT_TRUE(leaf->LruKeep(second));
  MemoryGroup* over = nullptr;
  EXPECT_FALSE(leaf->LruKeep(third, &over));
  EXPECT_EQ(over, root.get());
  EXPECT_EQ(root->kept(), 10u);
  root->CheckInvariants();
  std::vector<Folio*> victims;
  EXPECT_EQ(root->LruIsolateKept(1, &victims), 8u);
  EXPECT_EQ(victims.front(), first);
  EXPECT_TRUE(leaf->LruKeep(third));
  EXPECT_EQ(root->kept(), 3u);
  folios_.Put(first);
  for (Folio* folio : {first, second, third}) Free(folio);
  EXPECT_EQ(root->kept(), 0u);
  EXPECT_EQ(root->usage(), 0u);
}

TEST_F(MemoryGroupTreeTest, AGroupThatIsGoneIsAskedForNothing) {
  const Group root = Make(100);
  {
    const Group child = Make(100, root);
    Free(Map(child));
  }
  Map(root, 0, 3);
  EXPECT_EQ(TakeOut(root, 10)[root.get()], 3u);
  EXPECT_EQ(root.use_count(), 1);
}

// Charges, limits and refusals against their definition.
class MemoryGroupTreeModelTest : public MemoryGroupTreeTest {
 protected:
  using Own = std::map<MemoryGroup*, uint64_t>;  // Of the group alone.

  MemoryGroupTreeModelTest() {
    groups_.push_back(Make(1000));
    while (groups_.size() < 12) {
      const Group& parent = groups_[random_() % groups_.size()];
      if (parent->depth() == MemoryGroup::kMaxDepth) continue;
      groups_.push_back(Make(100 + random_() % 900, parent));
    }
  }
  uint64_t Below(const Own& own, const MemoryGroup* top) {
    uint64_t sum = 0;
    for (const auto& [group, pages] : own) {
      const MemoryGroup* at = group;
      while (at != nullptr && at != top) at = at->parent();
      if (at == top) sum += pages;
    }
    return sum;
  }
  MemoryGroup* Refuses(MemoryGroup* at, uint64_t pages) {
    while (at != nullptr && Below(memory_, at) + pages <= at->limit()) {
      at = at->parent();
    }
    return at;
  }
  MemoryGroup* RefusesSwap(MemoryGroup* at, uint64_t pages) {
    while (at != nullptr && Below(swap_, at) + pages <= at->swap_limit()) {
      at = at->parent();
    }
    return at;
  }
  void Charge(MemoryGroup* group, uint64_t pages) {
    MemoryGroup* over = nullptr;
    MemoryGroup* const expected = Refuses(group, pages);
    ASSERT_EQ(group->TryCharge(pages, &over), expected == nullptr);
    ASSERT_EQ(over, expected);
    if (expected == nullptr) memory_[group] += pages;
  }
  void ChargeSwap(MemoryGroup* group, uint64_t pages) {
    MemoryGroup* over = nullptr;
    MemoryGroup* const expected = RefusesSwap(group, pages);
    ASSERT_EQ(group->TryChargeSwap(pages, &over), expected == nullptr
                                                      ? SwapCharge::kCharged
                                                      : SwapCharge::kOverLimit);
    ASSERT_EQ(over, expected);
    if (expected == nullptr) swap_[group] += pages;
  }
  void Step(MemoryGroup* group) {
    switch (random_() % 6) {
      case 0:
        return group->SetLimit(random_() % 1200);
      case 1:
        return group->SetSwapLimit(random_() % 3000);
      case 2:
        group->Uncharge(memory_[group]);
        memory_[group] = 0;
        return;
      case 3:
        group->UnchargeSwap(swap_[group]);
        swap_[group] = 0;
        return;
      case 4:
        return Charge(group, random_() % 100);
      default:
        return ChargeSwap(group, random_() % 100);
    }
  }
  void ExpectSame(MemoryGroup* group) {
    for (MemoryGroup* at = group; at != nullptr; at = at->parent()) {
      ASSERT_EQ(at->usage(), Below(memory_, at));
      ASSERT_EQ(at->swap_usage(), Below(swap_, at));
      peak_[at] = std::max(peak_[at], at->usage());
      ASSERT_EQ(at->Stats().peak_pages, peak_[at]);
    }
  }

  const uint64_t seed_ = TestSeed();
  std::mt19937_64 random_{seed_};
  std::vector<Group> groups_;
  Own memory_, swap_, peak_;
};

TEST_F(MemoryGroupTreeModelTest, BehavesAsTheSumOfWhatIsBelow) {
  SCOPED_TRACE(testing::Message() << "FARSWAP_TEST_SEED=" << seed_);
  const int steps = LongTest() ? 10'000'000 : 100'000;
  for (int step = 0; step < steps; ++step) {
    MemoryGroup* const group = groups_[random_() % groups_.size()].get();
    ASSERT_NO_FATAL_FAILURE(Step(group)) << step;
    ASSERT_NO_FATAL_FAILURE(ExpectSame(group)) << step;
  }
  groups_.front()->CheckInvariants();
}

}  // namespace
}  // namespace farswap::core

// Threads on a tree of groups: charging, reclaim from every level, keeping,
// limits that change, groups that come and go. Built for TSan.
#include <array>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "client/core/folio.h"
#include "client/core/memory_group.h"
#include "common/units.h"
#include "gtest/gtest.h"
#include "tests/client/core/swap_kit.h"

namespace farswap::core {
namespace {

constexpr int kThreads = 4;
constexpr uint64_t kLimit = 2000;

class MemoryGroupRaceTest : public testing::Test {
 protected:
  using Group = std::shared_ptr<MemoryGroup>;
  Group Below(Group parent) {
    return std::make_shared<MemoryGroup>(&folios_, kLimit, std::move(parent));
  }
  MemoryGroup* Any(std::mt19937_64* random) {
    return groups_[(*random)() % groups_.size()].get();
  }
  void Fault(MemoryGroup* group, std::mt19937_64* random) {
    const int order = (*random)() % 5;
    MemoryGroup* over = nullptr;
    if (!group->TryCharge(PagesOf(order), &over)) {
      TakeOut(over, random);
      return;
    }
    Folio* const folio = folios_.Allocate(order, group, nullptr, 0);
    const bool active = group->Refault(static_cast<uint32_t>((*random)() % 999),
                                       PagesOf(order), false);
    group->LruAdd(folio, active);
  }
  void TakeOut(MemoryGroup* group, std::mt19937_64* random) {
    std::vector<Folio*> victims;
    group->LruIsolate(1 + (*random)() % 32, &victims);
    for (Folio* folio : victims) {
      switch ((*random)() % 4) {
        case 0:
          folio->group->LruPutback(folio, (*random)() % 2 == 0);
          break;
        case 1:
          folio->group->LruReturn(folio);
          break;
        case 2:
          Free(folio);
          break;
        default:
          folio->group->LruDel(folio);
          if (!folio->group->LruKeep(folio)) Free(folio);
          break;
      }
      folios_.Put(folio);  // Isolation's.
    }
  }
  void Drop(MemoryGroup* group, std::mt19937_64* random) {
    std::vector<Folio*> victims;
    group->LruIsolateKept(1 + (*random)() % 32, &victims);
    for (Folio* folio : victims) {
      if ((*random)() % 2 == 0) {  // A soft fault came first.
        folio->group->LruDel(folio);
        folio->group->LruAdd(folio, /*active=*/true);
      } else {
        Free(folio);
      }
      folios_.Put(folio);
    }
  }
  void Free(Folio* folio) {
    MemoryGroup* const group = folio->group;
    group->LruDel(folio);
    group->Evict(PagesOf(folio->order));
    group->Uncharge(PagesOf(folio->order));
    folios_.Put(folio);
  }
  void Swap(MemoryGroup* group, std::mt19937_64* random) {
    const uint64_t pages = (*random)() % 50;
    if (group->TryChargeSwap(pages) == SwapCharge::kCharged) {
      group->UnchargeSwap(pages);
    }
    group->SetSwapLimit((*random)() % 100);
  }
  // A group of its own, that goes again.
  void Guest(std::mt19937_64* random) {
    const Group group = Below(groups_[(*random)() % groups_.size()]);
    if (!group->TryCharge(1)) return;
    Folio* const folio = folios_.Allocate(0, group.get(), nullptr, 0);
    // On no list, so nobody from above meets it.
    folios_.Put(folio);
    group->Uncharge(1);
  }
  void Step(std::mt19937_64* random) {
    MemoryGroup* const group = Any(random);
    switch ((*random)() % 8) {
      case 0:
        return TakeOut(group, random);
      case 1:
        return Drop(group, random);
      case 2:
        return Swap(group, random);
      case 3:
        return group->SetLimit(kLimit / 2 + (*random)() % (kLimit / 2));
      case 4:
        return Guest(random);
      default:
        return Fault(group, random);
    }
  }

  FolioArena folios_;
  const Group root_ = Below(nullptr);
  const Group left_ = Below(root_);
  const Group right_ = Below(root_);
  const std::array<Group, 5> groups_ = {root_, left_, right_, Below(left_),
                                        Below(left_)};
};

TEST_F(MemoryGroupRaceTest, NothingIsLostAndNoLimitIsPassed) {
  const uint64_t seed = TestSeed();
  const int rounds = LongTest() ? 500'000 : 5'000;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      std::mt19937_64 random(seed + thread);
      for (int i = 0; i < rounds; ++i) {
        Step(&random);
        ASSERT_LE(root_->usage(), kLimit);
        ASSERT_LE(left_->kept(), kLimit / Lru::kKeptShare);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  root_->CheckInvariants();
  EXPECT_LE(root_->Stats().peak_pages, kLimit);
  EXPECT_GT(root_->Stats().peak_pages, kLimit / 4);
  std::vector<Folio*> rest;
  root_->LruIsolate(UINT64_MAX, &rest);
  root_->LruIsolateKept(UINT64_MAX, &rest);
  for (Folio* folio : rest) {
    Free(folio);
    folios_.Put(folio);
  }
  EXPECT_EQ(root_->usage(), 0u);
  EXPECT_EQ(root_->kept(), 0u);
  EXPECT_EQ(folios_.in_use(), 0u);
  root_->CheckInvariants();
}

}  // namespace
}  // namespace farswap::core

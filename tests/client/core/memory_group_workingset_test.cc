// Whether the refault distance keeps what is used often, without any accessed
// bit: the same accesses with and without acting on it.
#include <random>
#include <vector>

#include "client/core/folio.h"
#include "client/core/memory_group.h"
#include "gtest/gtest.h"
#include "tests/client/core/swap_kit.h"

namespace farswap::core {
namespace {

constexpr uint32_t kPages = 4096;
constexpr uint32_t kHot = 512;  // Get four of five accesses.
constexpr uint64_t kLocal = 1024;
constexpr int kAccesses = 200'000;

class WorkingsetTest : public testing::Test {
 protected:
  struct Page {
    Folio* folio = nullptr;
    bool evicted = false;
    bool was_active = false;
    uint32_t age = 0;
  };

  uint32_t RandomPage() {
    return random_() % 5 != 0 ? random_() % kHot : random_() % kPages;
  }
  // As reclaim does: the tail's pages are gone, their ages kept.
  void Evict(MemoryGroup* group) {
    std::vector<Folio*> victims;
    group->LruIsolate(16, &victims);
    for (Folio* folio : victims) {
      Page& page = pages_[folio->index];
      page = {nullptr, true, folio->workingset, group->Evict(1)};
      group->LruDel(folio);
      group->Uncharge(1);
      folios_.Put(folio);  // Isolation's.
      folios_.Put(folio);  // The map's.
    }
  }
  void FaultIn(MemoryGroup* group, uint32_t index, bool act) {
    while (!group->TryCharge(1)) Evict(group);
    Page& page = pages_[index];
    const bool active =
        page.evicted && group->Refault(page.age, 1, page.was_active) && act;
    page.folio = folios_.Allocate(0, group, nullptr, index);
    page.folio->workingset = active;
    group->LruAdd(page.folio, active);
  }
  // How many accesses found their page gone.
  int Faults(bool act) {
    MemoryGroup group(&folios_, kLocal);
    pages_.assign(kPages, {});
    int faults = 0;
    for (int i = 0; i < kAccesses; ++i) {
      const uint32_t index = RandomPage();
      if (pages_[index].folio != nullptr) continue;
      ++faults;
      FaultIn(&group, index, act);
    }
    group.CheckInvariants();
    while (group.usage() > 0) Evict(&group);
    return faults;
  }

  std::mt19937_64 random_{TestSeed()};
  FolioArena folios_;
  std::vector<Page> pages_;
};

TEST_F(WorkingsetTest, WhatIsUsedOftenStays) {
  const int fifo = Faults(/*act=*/false);
  const int lru = Faults(/*act=*/true);
  RecordProperty("faults_fifo", fifo);
  RecordProperty("faults_lru", lru);
  // Nothing could do better than the hot pages and a share of the cold ones:
  // 0.2 * (4096 - 1024) / 4096 of the accesses, 30'000 faults.
  EXPECT_LT(lru, fifo * 85 / 100) << "of " << fifo;
  EXPECT_EQ(folios_.in_use(), 0u);
}

}  // namespace
}  // namespace farswap::core

// Random operations on a MemoryGroup and on three plain lists beside it.
#include <algorithm>
#include <list>
#include <random>
#include <vector>

#include "client/core/folio.h"
#include "client/core/lru.h"
#include "client/core/memory_group.h"
#include "common/units.h"
#include "gtest/gtest.h"
#include "tests/client/core/swap_kit.h"

namespace farswap::core {
namespace {

constexpr uint64_t kLimit = 4096;

class MemoryGroupModelTest : public testing::Test {
 protected:
  using List = std::list<Folio*>;  // Front is the head.

  uint32_t Random(uint32_t bound) {
    return static_cast<uint32_t>(random_() % bound);
  }
  static uint64_t Pages(const List& list) {
    uint64_t pages = 0;
    for (const Folio* folio : list) pages += PagesOf(folio->order);
    return pages;
  }
  // The n-th of them, which is taken out of its list.
  Folio* Pick() {
    List& list = Random(2) != 0 ? inactive_ : active_;
    if (list.empty()) return nullptr;
    const auto it = std::next(list.begin(), Random(list.size()));
    Folio* folio = *it;
    list.erase(it);
    return folio;
  }
  void Add();
  void Delete();
  void Isolate();
  void Putback();
  void Keep();
  void SoftFault();
  void DropKept();
  void Balance();
  void ExpectSame();

  const uint64_t seed_ = TestSeed();
  std::mt19937_64 random_{seed_};
  FolioArena folios_;
  MemoryGroup group_{&folios_, kLimit};
  List inactive_;
  List active_;
  List kept_;
  std::vector<Folio*> isolated_;
  uint64_t usage_ = 0;
};

void MemoryGroupModelTest::Add() {
  const int order = Random(6);
  const bool fits = usage_ + PagesOf(order) <= kLimit;
  ASSERT_EQ(group_.TryCharge(PagesOf(order)), fits);
  if (!fits) return;
  usage_ += PagesOf(order);
  Folio* folio = folios_.Allocate(order, &group_, nullptr, 0);
  const bool active = Random(3) == 0;
  group_.LruAdd(folio, active);
  (active ? active_ : inactive_).push_front(folio);
}

void MemoryGroupModelTest::Delete() {
  Folio* folio = Pick();
  if (folio == nullptr) return;
  group_.LruDel(folio);
  group_.Uncharge(PagesOf(folio->order));
  usage_ -= PagesOf(folio->order);
  folios_.Put(folio);
}

void MemoryGroupModelTest::Balance() {
  for (int i = 0; i < 2; ++i) {
    if (active_.empty() || Pages(inactive_) >= Pages(active_)) return;
    inactive_.push_front(active_.back());
    active_.pop_back();
  }
}

void MemoryGroupModelTest::Isolate() {
  const uint64_t pages = 1 + Random(64);
  std::vector<Folio*> expected;
  uint64_t taken = 0;
  while (taken < pages) {
    Balance();
    if (inactive_.empty()) break;
    taken += PagesOf(inactive_.back()->order);
    expected.push_back(inactive_.back());
    inactive_.pop_back();
  }
  std::vector<Folio*> victims;
  ASSERT_EQ(group_.LruIsolate(pages, &victims), taken);
  ASSERT_EQ(victims, expected);
  isolated_.insert(isolated_.end(), victims.begin(), victims.end());
}

void MemoryGroupModelTest::Putback() {
  if (isolated_.empty()) return;
  std::swap(isolated_[Random(isolated_.size())], isolated_.back());
  Folio* folio = isolated_.back();
  isolated_.pop_back();
  const uint32_t fate = Random(3);
  if (fate == 0) {  // Gone meanwhile: the putback does nothing.
    group_.LruDel(folio);
    folios_.Put(folio);
    group_.Uncharge(PagesOf(folio->order));
    usage_ -= PagesOf(folio->order);
  }
  group_.LruPutback(folio, /*active=*/fate == 1);
  if (fate != 0) (fate == 1 ? active_ : inactive_).push_front(folio);
  folios_.Put(folio);
}

// An isolated folio is taken out, and its bytes stay.
void MemoryGroupModelTest::Keep() {
  if (isolated_.empty()) return;
  Folio* folio = isolated_.back();
  const bool fits =
      Pages(kept_) + PagesOf(folio->order) <= kLimit / Lru::kKeptShare;
  group_.LruDel(folio);
  MemoryGroup* over = nullptr;
  ASSERT_EQ(group_.LruKeep(folio, &over), fits);
  ASSERT_EQ(over, fits ? nullptr : &group_);
  isolated_.pop_back();
  if (fits) {
    kept_.push_front(folio);
  } else {
    group_.LruAdd(folio, /*active=*/false);
    inactive_.push_front(folio);
  }
  folios_.Put(folio);
}

void MemoryGroupModelTest::SoftFault() {
  if (kept_.empty()) return;
  const auto it = std::next(kept_.begin(), Random(kept_.size()));
  Folio* folio = *it;
  kept_.erase(it);
  group_.LruDel(folio);
  group_.LruAdd(folio, /*active=*/true);
  active_.push_front(folio);
}

void MemoryGroupModelTest::DropKept() {
  std::vector<Folio*> victims;
  const uint64_t taken = group_.LruIsolateKept(1, &victims);
  ASSERT_EQ(taken > 0, !kept_.empty());
  if (taken == 0) return;
  ASSERT_EQ(victims.front(), kept_.back());
  kept_.pop_back();
  group_.LruDel(victims.front());
  group_.Uncharge(taken);
  usage_ -= taken;
  folios_.Put(victims.front());
  folios_.Put(victims.front());
}

void MemoryGroupModelTest::ExpectSame() {
  const MemoryGroupStats stats = group_.Stats();
  ASSERT_EQ(stats.inactive_pages, Pages(inactive_));
  ASSERT_EQ(stats.active_pages, Pages(active_));
  ASSERT_EQ(stats.kept_pages, Pages(kept_));
  ASSERT_EQ(group_.kept(), Pages(kept_));
  ASSERT_EQ(stats.usage_pages, usage_);
  ASSERT_LE(stats.peak_pages, kLimit);
  ASSERT_EQ(folios_.in_use(), inactive_.size() + active_.size() + kept_.size() +
                                  isolated_.size());
  group_.CheckInvariants();
}

TEST_F(MemoryGroupModelTest, BehavesAsThreeLists) {
  SCOPED_TRACE(testing::Message() << "FARSWAP_TEST_SEED=" << seed_);
  const int steps = LongTest() ? 10'000'000 : 200'000;
  for (int step = 0; step < steps; ++step) {
    const uint32_t dice = Random(14);
    if (dice < 4) {
      ASSERT_NO_FATAL_FAILURE(Add()) << step;
    } else if (dice < 5) {
      Delete();
    } else if (dice < 7) {
      ASSERT_NO_FATAL_FAILURE(Isolate()) << step;
    } else if (dice < 10) {
      Putback();
    } else if (dice < 12) {
      ASSERT_NO_FATAL_FAILURE(Keep()) << step;
    } else if (dice < 13) {
      SoftFault();
    } else {
      ASSERT_NO_FATAL_FAILURE(DropKept()) << step;
    }
    // Walks every list: the lists' order is compared at each isolation.
    if (step % 64 != 0) continue;
    ASSERT_NO_FATAL_FAILURE(ExpectSame()) << step;
  }
  while (!isolated_.empty()) Putback();
  while (!kept_.empty()) SoftFault();
  while (!inactive_.empty() || !active_.empty()) Delete();
  ExpectSame();
  EXPECT_EQ(usage_, 0u);
}

// The distance against its definition, over the wrap of the 25 bits.
TEST_F(MemoryGroupModelTest, DistancesAreThoseOfTheirDefinition) {
  SCOPED_TRACE(testing::Message() << "FARSWAP_TEST_SEED=" << seed_);
  for (int i = 0; i < 1000; ++i) Add();
  const uint64_t resident = Pages(inactive_) + Pages(active_);
  const uint64_t soon = resident / Lru::kSoonShare;
  uint64_t evicted = 0;
  for (int i = 0; i < 2000; ++i) {
    const uint32_t pages = PagesOf(Random(kOrders));
    const uint32_t age = group_.Evict(pages);
    // Up to half a turn of the counter: 2^25 units of 16 pages.
    uint64_t since = pages + Random(static_cast<uint32_t>(2 * soon));
    if (Random(4) == 0) since += Random(1u << 28);
    group_.Evict(since - pages);
    evicted += since;
    const bool active = group_.Refault(age, 0, false);
    // Ages are cut to 16 pages: within 32 either answer is right.
    EXPECT_TRUE(active || since + 32 > soon) << since;
    EXPECT_TRUE(!active || since <= soon) << since;
  }
  EXPECT_GT(evicted, uint64_t{1} << 29);  // It did wrap.
  while (!inactive_.empty() || !active_.empty()) Delete();
}

}  // namespace
}  // namespace farswap::core

#include "client/core/memory_group.h"

#include <algorithm>

#include "client/core/swap_table.h"
#include "common/check.h"
#include "common/units.h"

namespace farswap::core {
namespace {

// How much is kept free. A fault brings at most one PMD folio, 512 pages, and
// must find them free without waiting: the floor. Above it a 64th of the
// limit lets reclaim gather victims in runs. From being woken to having taken
// out its first PMD folio, reclaim needs about 1 ms; faults that fill 1.6 GB/s
// use up 400 pages meanwhile, so 8192 pages, 32 MiB, are enough at any limit.
constexpr uint64_t kLowFloorPages = kPagesPerPmd;
constexpr uint64_t kLowCeilingPages = 8192;
constexpr uint64_t kLowShare = 64;

// The age is kept in units of 16 pages: the 25 bits of a shadow then span
// 2 TiB of evictions before a distance is ambiguous, not 128 GiB.
constexpr int kAgeShift = 4;

uint32_t AgeUnitsDown(uint64_t pages) {
  return static_cast<uint32_t>(pages >> kAgeShift) & kAgeMask;
}

uint32_t AgeUnitsUp(uint64_t pages) {
  return AgeUnitsDown(pages + (uint64_t{1} << kAgeShift) - 1);
}

void RaiseTo(std::atomic<uint64_t>* peak, uint64_t value) {
  uint64_t seen = peak->load(std::memory_order_relaxed);
  while (seen < value &&
         !peak->compare_exchange_weak(seen, value, std::memory_order_relaxed)) {
  }
}

}  // namespace

MemoryGroup::MemoryGroup(FolioArena* folios, uint64_t limit_pages)
    : folios_(folios), limit_(limit_pages) {}

// --- charge ---

bool MemoryGroup::TryCharge(uint64_t pages) {
  uint64_t usage = usage_.load(std::memory_order_relaxed);
  do {
    const uint64_t limit = limit_.load(std::memory_order_relaxed);
    if (usage > limit || pages > limit - usage) return false;
  } while (!usage_.compare_exchange_weak(usage, usage + pages,
                                         std::memory_order_relaxed));
  RaiseTo(&peak_, usage + pages);
  return true;
}

void MemoryGroup::ForceCharge(uint64_t pages) {
  const uint64_t usage = usage_.fetch_add(pages, std::memory_order_relaxed);
  RaiseTo(&peak_, usage + pages);
}

void MemoryGroup::Uncharge(uint64_t pages) {
  const uint64_t usage = usage_.fetch_sub(pages, std::memory_order_relaxed);
  FARSWAP_CHECK(usage >= pages);
}

void MemoryGroup::SetLimit(uint64_t limit_pages) {
  limit_.store(limit_pages, std::memory_order_relaxed);
}

uint64_t MemoryGroup::low() const {
  const uint64_t share =
      std::clamp(limit() / kLowShare, kLowFloorPages, kLowCeilingPages);
  return std::min(share, limit() / 4);
}

uint64_t MemoryGroup::high() const { return std::min(2 * low(), limit() / 2); }

uint64_t MemoryGroup::ReclaimTarget() const {
  const uint64_t limit = this->limit();
  const uint64_t usage = this->usage();
  // Signed thinking without signed numbers: free + low() against limit.
  if (usage + low() <= limit) return 0;
  return usage + high() - limit;
}

// --- LRU ---

MemoryGroup::List& MemoryGroup::ListOf(LruList list) {
  FARSWAP_CHECK(list == LruList::kInactive || list == LruList::kActive);
  return list == LruList::kActive ? active_ : inactive_;
}

void MemoryGroup::AddLocked(Folio* folio, LruList to) {
  List& list = ListOf(to);
  folio->lru = to;
  folio->prev = kNoFolio;
  folio->next = list.head;
  if (list.head != kNoFolio) {
    folios_->At(list.head)->prev = folio->id;
  } else {
    list.tail = folio->id;
  }
  list.head = folio->id;
  list.pages += PagesOf(folio->order);
}

void MemoryGroup::AddTailLocked(Folio* folio) {
  folio->lru = LruList::kInactive;
  folio->next = kNoFolio;
  folio->prev = inactive_.tail;
  if (inactive_.tail != kNoFolio) {
    folios_->At(inactive_.tail)->next = folio->id;
  } else {
    inactive_.head = folio->id;
  }
  inactive_.tail = folio->id;
  inactive_.pages += PagesOf(folio->order);
}

void MemoryGroup::RemoveLocked(Folio* folio) {
  List& list = ListOf(folio->lru);
  const FolioId next = folio->next;
  const FolioId prev = folio->prev;
  (prev != kNoFolio ? folios_->At(prev)->next : list.head) = next;
  (next != kNoFolio ? folios_->At(next)->prev : list.tail) = prev;
  folio->next = folio->prev = kNoFolio;
  folio->lru = LruList::kNone;
  list.pages -= PagesOf(folio->order);
}

void MemoryGroup::BalanceLocked() {
  // Two at most: called once for each victim, that keeps the lists level
  // without a long pass under the lock.
  for (int i = 0; i < 2; ++i) {
    if (inactive_.pages >= active_.pages || active_.tail == kNoFolio) return;
    Folio* folio = folios_->At(active_.tail);
    RemoveLocked(folio);
    AddLocked(folio, LruList::kInactive);
  }
}

void MemoryGroup::ActivateLocked(Folio* folio) {
  AddLocked(folio, LruList::kActive);
  // It left the inactive list as an evicted one does, so what is behind it
  // there is that much nearer to the tail.
  age_.fetch_add(PagesOf(folio->order), std::memory_order_relaxed);
}

void MemoryGroup::LruAdd(Folio* folio, bool active) {
  MutexLock lock(&lru_mu_);
  FARSWAP_CHECK(folio->lru == LruList::kNone);
  if (active) {
    ActivateLocked(folio);
  } else {
    AddLocked(folio, LruList::kInactive);
  }
}

void MemoryGroup::LruDel(Folio* folio) {
  MutexLock lock(&lru_mu_);
  if (folio->lru == LruList::kInactive || folio->lru == LruList::kActive) {
    RemoveLocked(folio);
  }
  folio->lru = LruList::kNone;
}

uint64_t MemoryGroup::LruIsolate(uint64_t pages, std::vector<Folio*>* victims) {
  MutexLock lock(&lru_mu_);
  uint64_t taken = 0;
  while (taken < pages) {
    BalanceLocked();
    if (inactive_.tail == kNoFolio) break;
    Folio* folio = folios_->At(inactive_.tail);
    RemoveLocked(folio);
    folio->lru = LruList::kIsolated;
    FolioArena::Get(folio);  // On a list, so it lives.
    victims->push_back(folio);
    taken += PagesOf(folio->order);
  }
  return taken;
}

bool MemoryGroup::LruIsolateFolio(Folio* folio) {
  MutexLock lock(&lru_mu_);
  if (folio->lru != LruList::kInactive && folio->lru != LruList::kActive) {
    return false;
  }
  RemoveLocked(folio);
  folio->lru = LruList::kIsolated;
  FolioArena::Get(folio);
  return true;
}

void MemoryGroup::LruReturn(Folio* folio) {
  MutexLock lock(&lru_mu_);
  if (folio->lru == LruList::kIsolated) AddTailLocked(folio);
}

void MemoryGroup::LruPutback(Folio* folio, bool active) {
  MutexLock lock(&lru_mu_);
  if (folio->lru != LruList::kIsolated) return;
  if (active) {
    ActivateLocked(folio);
  } else {
    AddLocked(folio, LruList::kInactive);
  }
}

// --- working set ---

uint32_t MemoryGroup::Evict(uint64_t pages) {
  return AgeUnitsDown(age_.fetch_add(pages, std::memory_order_relaxed));
}

bool MemoryGroup::Refault(uint32_t age, bool was_active) {
  const uint32_t now = AgeUnitsUp(age_.load(std::memory_order_relaxed));
  const uint64_t distance = uint64_t{(now - age) & kAgeMask} << kAgeShift;
  refaults_.fetch_add(1, std::memory_order_relaxed);
  if (distance > WorkingSetPages()) return false;
  activations_.fetch_add(1, std::memory_order_relaxed);
  if (was_active) restores_.fetch_add(1, std::memory_order_relaxed);
  return true;
}

uint64_t MemoryGroup::WorkingSetPages() const {
  MutexLock lock(&lru_mu_);
  return (inactive_.pages + active_.pages) / 2;
}

MemoryGroupStats MemoryGroup::Stats() const {
  MemoryGroupStats stats;
  stats.limit_pages = limit();
  stats.usage_pages = usage();
  stats.peak_pages = peak_.load(std::memory_order_relaxed);
  stats.workingset_refault = refaults_.load(std::memory_order_relaxed);
  stats.workingset_activate = activations_.load(std::memory_order_relaxed);
  stats.workingset_restore = restores_.load(std::memory_order_relaxed);
  MutexLock lock(&lru_mu_);
  stats.inactive_pages = inactive_.pages;
  stats.active_pages = active_.pages;
  return stats;
}

void MemoryGroup::CheckListLocked(const List& list, LruList name) const {
  uint64_t pages = 0;
  FolioId prev = kNoFolio;
  for (FolioId id = list.head; id != kNoFolio;) {
    const Folio* folio = folios_->At(id);
    FARSWAP_CHECK(folio->lru == name);
    FARSWAP_CHECK(folio->group == this);
    FARSWAP_CHECK(folio->prev == prev);
    FARSWAP_CHECK(folio->refs.load(std::memory_order_relaxed) != 0);
    pages += PagesOf(folio->order);
    prev = id;
    id = folio->next;
  }
  FARSWAP_CHECK(list.tail == prev);
  FARSWAP_CHECK(list.pages == pages);
}

void MemoryGroup::CheckInvariants() const {
  FARSWAP_CHECK(usage() <= peak_.load(std::memory_order_relaxed));
  MutexLock lock(&lru_mu_);
  CheckListLocked(inactive_, LruList::kInactive);
  CheckListLocked(active_, LruList::kActive);
}

}  // namespace farswap::core

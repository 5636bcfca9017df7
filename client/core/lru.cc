#include "client/core/lru.h"

#include "client/core/swap_table.h"
#include "common/check.h"
#include "common/units.h"

namespace farswap::core {
namespace {

// The age is kept in units of 16 pages: the 25 bits of a shadow then span
// 2 TiB of evictions before a distance is ambiguous, not 128 GiB.
constexpr int kAgeShift = 4;

uint32_t AgeUnitsDown(uint64_t pages) {
  return static_cast<uint32_t>(pages >> kAgeShift) & kAgeMask;
}

uint32_t AgeUnitsUp(uint64_t pages) {
  return AgeUnitsDown(pages + (uint64_t{1} << kAgeShift) - 1);
}

}  // namespace

Lru::List& Lru::ListOf(LruList list) {
  switch (list) {
    case LruList::kActive:
      return active_;
    case LruList::kKept:
      return kept_;
    case LruList::kPinned:
      return pinned_;
    default:
      FARSWAP_CHECK(list == LruList::kInactive);
      return inactive_;
  }
}

void Lru::AddLocked(Folio* folio, LruList to) {
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

void Lru::AddTailLocked(Folio* folio) {
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

void Lru::RemoveLocked(Folio* folio) {
  List& list = ListOf(folio->lru);
  const FolioId next = folio->next;
  const FolioId prev = folio->prev;
  (prev != kNoFolio ? folios_->At(prev)->next : list.head) = next;
  (next != kNoFolio ? folios_->At(next)->prev : list.tail) = prev;
  folio->next = folio->prev = kNoFolio;
  folio->lru = LruList::kNone;
  list.pages -= PagesOf(folio->order);
}

void Lru::BalanceLocked() {
  // Two at most: called once for each victim, that keeps the lists level
  // without a long pass under the lock.
  for (int i = 0; i < 2; ++i) {
    if (inactive_.pages >= active_.pages || active_.tail == kNoFolio) return;
    DeactivateLocked(folios_->At(active_.tail));
  }
}

void Lru::DeactivateLocked(Folio* folio) {
  RemoveLocked(folio);
  AddLocked(folio, LruList::kInactive);
}

void Lru::ActivateLocked(Folio* folio) {
  AddLocked(folio, LruList::kActive);
  // It left the inactive list as an evicted one does, so what is behind it
  // there is that much nearer to the tail.
  age_.fetch_add(PagesOf(folio->order), std::memory_order_relaxed);
}

// --- mapped folios ---

void Lru::Add(Folio* folio, bool active) {
  MutexLock lock(&mu_);
  FARSWAP_CHECK(folio->lru == LruList::kNone);
  if (active) {
    ActivateLocked(folio);
  } else {
    AddLocked(folio, LruList::kInactive);
  }
}

LruList Lru::Del(Folio* folio) {
  MutexLock lock(&mu_);
  const LruList was = folio->lru;
  if (was != LruList::kNone && was != LruList::kIsolated) RemoveLocked(folio);
  folio->lru = LruList::kNone;
  return was;
}

uint64_t Lru::IsolateTailLocked(const List& list,
                                std::vector<Folio*>* victims) {
  if (list.tail == kNoFolio) return 0;
  return IsolateLocked(folios_->At(list.tail), victims);
}

uint64_t Lru::IsolateLocked(Folio* folio, std::vector<Folio*>* victims) {
  RemoveLocked(folio);
  folio->lru = LruList::kIsolated;
  FolioArena::Get(folio);  // On a list, so it lives.
  victims->push_back(folio);
  return PagesOf(folio->order);
}

uint64_t Lru::Isolate(uint64_t pages, std::vector<Folio*>* victims) {
  MutexLock lock(&mu_);
  uint64_t taken = 0;
  while (taken < pages) {
    BalanceLocked();
    const uint64_t more = IsolateTailLocked(inactive_, victims);
    if (more == 0) break;
    taken += more;
  }
  return taken;
}

bool Lru::IsolateFolio(Folio* folio) {
  MutexLock lock(&mu_);
  if (folio->lru != LruList::kInactive && folio->lru != LruList::kActive) {
    return false;
  }
  RemoveLocked(folio);
  folio->lru = LruList::kIsolated;
  FolioArena::Get(folio);
  return true;
}

void Lru::Return(Folio* folio) {
  MutexLock lock(&mu_);
  if (folio->lru == LruList::kIsolated) AddTailLocked(folio);
}

void Lru::Putback(Folio* folio, bool active) {
  MutexLock lock(&mu_);
  if (folio->lru != LruList::kIsolated) return;
  if (active) {
    ActivateLocked(folio);
  } else {
    AddLocked(folio, LruList::kInactive);
  }
}

// --- pinned folios ---

bool Lru::Pin(Folio* folio) {
  MutexLock lock(&mu_);
  if (folio->lru != LruList::kInactive && folio->lru != LruList::kActive) {
    return false;
  }
  RemoveLocked(folio);
  AddLocked(folio, LruList::kPinned);
  return true;
}

bool Lru::Unpin(Folio* folio) {
  MutexLock lock(&mu_);
  if (folio->lru != LruList::kPinned) return false;
  RemoveLocked(folio);
  ActivateLocked(folio);
  return true;
}

bool Lru::IsPinned(const Folio* folio) const {
  MutexLock lock(&mu_);
  return folio->lru == LruList::kPinned;
}

// --- unmapped folios whose bytes are here ---

void Lru::Keep(Folio* folio) {
  MutexLock lock(&mu_);
  FARSWAP_CHECK(folio->lru == LruList::kNone);
  AddLocked(folio, LruList::kKept);
}

uint64_t Lru::IsolateKept(uint64_t pages, std::vector<Folio*>* victims) {
  MutexLock lock(&mu_);
  uint64_t taken = 0;
  while (taken < pages) {
    const uint64_t more = IsolateTailLocked(kept_, victims);
    if (more == 0) break;
    taken += more;
  }
  return taken;
}

uint64_t Lru::IsolateKeptOf(const void* owner, std::vector<Folio*>* victims) {
  MutexLock lock(&mu_);
  uint64_t taken = 0;
  for (FolioId id = kept_.tail; id != kNoFolio;) {
    Folio* const folio = folios_->At(id);
    id = folio->prev;
    if (folio->owner == owner) taken += IsolateLocked(folio, victims);
  }
  return taken;
}

// --- working set ---

uint32_t Lru::Evict(uint64_t pages) {
  return AgeUnitsDown(age_.fetch_add(pages, std::memory_order_relaxed));
}

bool Lru::Refault(uint32_t age, uint64_t pages, bool was_active) {
  const uint32_t now = AgeUnitsUp(age_.load(std::memory_order_relaxed));
  const uint64_t distance = uint64_t{(now - age) & kAgeMask} << kAgeShift;
  refaults_.fetch_add(1, std::memory_order_relaxed);
  {
    MutexLock lock(&mu_);
    const uint64_t local = inactive_.pages + active_.pages + kept_.pages;
    if (distance > local / kSoonShare) {
      if (distance <= active_.pages) ChallengeLocked(pages);
      return false;
    }
  }
  activations_.fetch_add(1, std::memory_order_relaxed);
  if (was_active) restores_.fetch_add(1, std::memory_order_relaxed);
  return true;
}

void Lru::ChallengeLocked(uint64_t pages) {
  // At most 256 folios, of a page each, for a PMD folio: a few microseconds.
  owed_halves_ += pages;
  while (active_.tail != kNoFolio) {
    Folio* const folio = folios_->At(active_.tail);
    if (owed_halves_ < 2 * PagesOf(folio->order)) return;
    owed_halves_ -= 2 * PagesOf(folio->order);
    DeactivateLocked(folio);
  }
  owed_halves_ = 0;
}

uint64_t Lru::pages() const {
  MutexLock lock(&mu_);
  return inactive_.pages + active_.pages;
}

Lru::Stats Lru::stats() const {
  Stats stats;
  stats.refaults = refaults_.load(std::memory_order_relaxed);
  stats.activations = activations_.load(std::memory_order_relaxed);
  stats.restores = restores_.load(std::memory_order_relaxed);
  MutexLock lock(&mu_);
  stats.inactive_pages = inactive_.pages;
  stats.active_pages = active_.pages;
  stats.kept_pages = kept_.pages;
  return stats;
}

void Lru::CheckListLocked(const List& list, LruList name,
                          const MemoryGroup* group) const {
  uint64_t pages = 0;
  FolioId prev = kNoFolio;
  for (FolioId id = list.head; id != kNoFolio;) {
    const Folio* folio = folios_->At(id);
    FARSWAP_CHECK(folio->lru == name);
    FARSWAP_CHECK(folio->group == group);
    FARSWAP_CHECK(folio->prev == prev);
    FARSWAP_CHECK(folio->refs.load(std::memory_order_relaxed) != 0);
    pages += PagesOf(folio->order);
    prev = id;
    id = folio->next;
  }
  FARSWAP_CHECK(list.tail == prev);
  FARSWAP_CHECK(list.pages == pages);
}

void Lru::CheckInvariants(const MemoryGroup* group) const {
  MutexLock lock(&mu_);
  CheckListLocked(inactive_, LruList::kInactive, group);
  CheckListLocked(active_, LruList::kActive, group);
  CheckListLocked(kept_, LruList::kKept, group);
  CheckListLocked(pinned_, LruList::kPinned, group);
}

}  // namespace farswap::core

#include "client/core/folio.h"

#include "common/check.h"

namespace farswap::core {

FolioArena::FolioArena() = default;
FolioArena::~FolioArena() = default;

Folio* FolioArena::Allocate(int order, MemoryGroup* group, void* owner,
                            uint64_t index) {
  FARSWAP_CHECK(order >= 0 && order <= kMaxOrder);
  Folio* folio = Take();
  if (folio == nullptr) return nullptr;
  folio->order = static_cast<uint8_t>(order);
  folio->group = group;
  folio->owner = owner;
  folio->index = index;
  folio->mapped = folio->reading = folio->writeback = false;
  folio->has_swap = folio->stored = folio->workingset = false;
  folio->entry = SwapEntry();
  folio->hash = 0;
  folio->staging = nullptr;
  folio->lru = LruList::kNone;
  folio->next = folio->prev = kNoFolio;
  // Last: whoever gets a reference through a stale id sees all of the above.
  folio->refs.store(1, std::memory_order_release);
  return folio;
}

Folio* FolioArena::Take() {
  MutexLock lock(&mu_);
  Folio* folio = nullptr;
  if (free_ != kNoFolio) {
    folio = &folios_.At(free_);
    free_ = folio->next;
  } else if (next_unused_ <= kMaxFolioId) {
    folios_.Grow(next_unused_);
    folio = &folios_.At(next_unused_);
    folio->id = next_unused_++;
  } else {
    return nullptr;
  }
  ++in_use_;
  return folio;
}

Folio* FolioArena::At(FolioId id) const {
  FARSWAP_CHECK(id != kNoFolio && id <= kMaxFolioId);
  return &folios_.At(id);
}

bool FolioArena::TryGet(Folio* folio) {
  // Acquire for the zero too: who sees it sees that the word that led here was
  // changed before the last reference was given back.
  uint32_t refs = folio->refs.load(std::memory_order_acquire);
  while (refs != 0) {
    if (folio->refs.compare_exchange_weak(refs, refs + 1,
                                          std::memory_order_acquire)) {
      return true;
    }
  }
  return false;
}

void FolioArena::Get(Folio* folio) {
  const uint32_t refs = folio->refs.fetch_add(1, std::memory_order_relaxed);
  FARSWAP_CHECK(refs != 0);
}

void FolioArena::Put(Folio* folio) {
  const uint32_t refs = folio->refs.fetch_sub(1, std::memory_order_acq_rel);
  FARSWAP_CHECK(refs != 0);
  if (refs == 1) Free(folio);
}

void FolioArena::Free(Folio* folio) {
  // On a list, somebody could still isolate it; with a slot, look it up.
  FARSWAP_CHECK(folio->lru != LruList::kInactive);
  FARSWAP_CHECK(folio->lru != LruList::kActive);
  FARSWAP_CHECK(folio->lru != LruList::kKept);
  FARSWAP_CHECK(!folio->has_swap);
  MutexLock lock(&mu_);
  folio->next = free_;
  free_ = folio->id;
  --in_use_;
}

size_t FolioArena::in_use() const {
  MutexLock lock(&mu_);
  return in_use_;
}

}  // namespace farswap::core

// What the fault path and reclaim share: the collaborators of one pager, which
// may be that of several address spaces.
#ifndef FARSWAP_CLIENT_PAGER_SHARED_H_
#define FARSWAP_CLIENT_PAGER_SHARED_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>

#include "client/core/folio.h"
#include "client/core/swap_space.h"
#include "client/pager/counters.h"
#include "client/pager/grace.h"
#include "client/pager/mm.h"
#include "client/pager/promises.h"
#include "client/pager/region.h"
#include "client/pager/staging.h"
#include "client/remote/transport.h"

namespace farswap::pager {

// Who serves a fault, counted while he does.
class Demand {
 public:
  explicit Demand(std::atomic<int>* serving) : serving_(*serving) {
    serving_.fetch_add(1, std::memory_order_relaxed);
  }
  ~Demand() { serving_.fetch_sub(1, std::memory_order_relaxed); }
  Demand(const Demand&) = delete;
  Demand& operator=(const Demand&) = delete;

 private:
  std::atomic<int>& serving_;
};

struct Shared {
  // Constant after construction; each protects itself.
  std::chrono::milliseconds fault_deadline{60000};
  std::unique_ptr<remote::Transport> transport;
  std::unique_ptr<Staging> staging;

  core::FolioArena folios;
  core::SwapSpace swap{&folios};
  RegionGraves graves;  // Of all address spaces.
  BlockLocks locks;
  Counters counters;
  Promises promises;
  // A fork was told, ever: pages may be shared with a child.
  std::atomic<bool> forked{false};
  std::atomic<int> demand{0};  // Faults being served: prefetch steps aside.

  Grace grace;  // Of regions' objects.

  // Of pages that were found: past the limit if need be, as they are there.
  void ChargeFound(core::MemoryGroup* group, uint64_t pages) {
    const uint64_t paid = promises.Take(pages);
    if (pages > paid) group->ForceCharge(pages - paid);
  }

  Mutex* LockOf(const Region* region, uint64_t page) {
    return locks.Of(region, page);
  }
};

// The lock of another block, beside the lock that is held, which may be the
// same. Tried only, as there is no order between block locks.
class OtherLock {
 public:
  OtherLock(Shared* shared, const Region* region, uint64_t page,
            Mutex* held) ABSL_NO_THREAD_SAFETY_ANALYSIS
      : mu_(shared->LockOf(region, page)),
        held_(held),
        owned_(mu_ == held || mu_->TryLock()) {}
  // Of a folio that was found by a slot: pages that were moved (mremap) name
  // slots of folios of other blocks. REQUIRES: the caller is in `grace`, and
  // has a reference.
  OtherLock(Shared* shared, const core::Folio* folio, Mutex* held)
      : OtherLock(shared, static_cast<Region*>(folio->owner), folio->index,
                  held) {}
  ~OtherLock() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    if (owned_ && mu_ != held_) mu_->Unlock();
  }
  OtherLock(const OtherLock&) = delete;
  OtherLock& operator=(const OtherLock&) = delete;

  // Whether what it guards may be read.
  bool owned() const { return owned_; }

 private:
  Mutex* const mu_;
  Mutex* const held_;
  const bool owned_;
};

// Where the bytes of a page in that slot are, if they are in staging; null
// else. REQUIRES: the lock of the page's block, and that the caller is in
// `grace`.
inline const char* StagedLocked(Shared* shared, const Region* region,
                                uint64_t page, core::SwapEntry entry) {
  core::Folio* const folio = shared->swap.SwapCacheGetFolio(entry);
  if (folio == nullptr) return nullptr;
  const char* staged = nullptr;
  const uint64_t i = page - folio->index;
  const bool same = folio->owner == region && i < PagesOf(folio->order) &&
                    folio->entry + static_cast<uint32_t>(i) == entry;
  if (same && !folio->mapped && !folio->reading) staged = folio->staging;
  shared->folios.Put(folio);
  return staged == nullptr ? nullptr : staged + i * kPageBytes;
}

// The region of a folio. REQUIRES: the folio is mapped and its block lock
// held, or the caller is in `grace`, or has a pointer that keeps the region.
inline Region* RegionOf(const core::Folio* folio) {
  return static_cast<Region*>(folio->owner);
}

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_SHARED_H_

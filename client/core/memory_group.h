// A memory group (memcg): what may be resident, what is, and in which order
// it is to be taken out.
//
// Charge. A folio is charged, in pages, before it is mapped and uncharged when
// it is taken out or freed. `usage` passes the limit only by ForceCharge.
//
// LRU. Two lists, inactive and active, after mm/vmscan.c. Folios enter at the
// inactive head; victims come from its tail. User space has no accessed bit:
// what makes a folio active is a refault within the working set, or a fault
// while it was still in the swap cache.
//
// Working set. Every eviction and activation moves the group's age on by the
// folio's pages; a shadow keeps the age. The distance of a refault is the age
// since (mm/workingset.c). The kernel activates what comes back within the
// pages of the active list: had it been active, it would have stayed. Its
// active list is fed by accessed bits too; here that rule alone would leave an
// empty list empty. So the distance is held against what the active list may
// grow to before the inactive one is refilled from it: half of what is on
// both.
//
// Thread-safe.
#ifndef FARSWAP_CLIENT_CORE_MEMORY_GROUP_H_
#define FARSWAP_CLIENT_CORE_MEMORY_GROUP_H_

#include <atomic>
#include <cstdint>
#include <vector>

#include "client/core/folio.h"
#include "common/mutex.h"

namespace farswap::core {

struct MemoryGroupStats {
  uint64_t limit_pages = 0;
  uint64_t usage_pages = 0;
  uint64_t peak_pages = 0;
  uint64_t inactive_pages = 0;
  uint64_t active_pages = 0;
  uint64_t workingset_refault = 0;   // Folios that came back.
  uint64_t workingset_activate = 0;  // Of them: within the working set.
  uint64_t workingset_restore = 0;   // Of them: had been active before.
};

class MemoryGroup {
 public:
  MemoryGroup(FolioArena* folios, uint64_t limit_pages);
  MemoryGroup(const MemoryGroup&) = delete;
  MemoryGroup& operator=(const MemoryGroup&) = delete;

  // --- charge ---
  // False if that would pass the limit; then nothing is charged.
  bool TryCharge(uint64_t pages);
  // Past the limit if need be: for folios whose bytes are local anyway, so
  // that taking them back needs no room to be made first.
  void ForceCharge(uint64_t pages);
  void Uncharge(uint64_t pages);
  uint64_t limit() const { return limit_.load(std::memory_order_relaxed); }
  uint64_t usage() const { return usage_.load(std::memory_order_relaxed); }
  // A lower limit than the usage takes effect as reclaim gets there.
  void SetLimit(uint64_t limit_pages);
  // Background reclaim starts when less than low() pages are free under the
  // limit and stops at high().
  uint64_t low() const;
  uint64_t high() const;
  // Pages to take out to be back at high(); 0 while above low().
  uint64_t ReclaimTarget() const;

  // --- LRU ---
  // REQUIRES: the folio is on no list.
  void LruAdd(Folio* folio, bool active);
  // Off whatever list it is on. If somebody isolated it, his putback does
  // nothing.
  void LruDel(Folio* folio);
  // Takes victims from the inactive tail until `pages` are gathered, each
  // isolated, with a reference; refills inactive from active when it is the
  // smaller. Appends to `victims`; returns their pages.
  uint64_t LruIsolate(uint64_t pages, std::vector<Folio*>* victims);
  // Takes that folio off its list, isolated, with a reference. False if it is
  // on none.
  bool LruIsolateFolio(Folio* folio);
  // Back to the inactive tail, the next victim: nothing was tried with it.
  // Keeps the caller's reference.
  void LruReturn(Folio* folio);
  // Back to the inactive head, or the active list. Keeps the caller's
  // reference.
  void LruPutback(Folio* folio, bool active);

  // --- working set ---
  // The age to be kept in the shadow of a folio of that many pages that is
  // being evicted.
  uint32_t Evict(uint64_t pages);
  // A folio evicted at `age` is back. Whether it belongs on the active list.
  bool Refault(uint32_t age, bool was_active);

  MemoryGroupStats Stats() const;
  void CheckInvariants() const;

 private:
  struct List {
    FolioId head = kNoFolio;
    FolioId tail = kNoFolio;
    uint64_t pages = 0;
  };
  void AddLocked(Folio* folio, LruList to)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lru_mu_);
  void AddTailLocked(Folio* folio) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lru_mu_);
  void RemoveLocked(Folio* folio) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lru_mu_);
  List& ListOf(LruList list) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lru_mu_);
  void BalanceLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lru_mu_);
  void ActivateLocked(Folio* folio) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lru_mu_);
  void CheckListLocked(const List& list, LruList name) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lru_mu_);
  uint64_t WorkingSetPages() const ABSL_LOCKS_EXCLUDED(lru_mu_);

  FolioArena* const folios_;
  std::atomic<uint64_t> limit_;
  std::atomic<uint64_t> usage_{0};
  std::atomic<uint64_t> peak_{0};
  std::atomic<uint64_t> age_{0};
  std::atomic<uint64_t> refaults_{0};
  std::atomic<uint64_t> activations_{0};
  std::atomic<uint64_t> restores_{0};

  mutable Mutex lru_mu_;
  List inactive_ ABSL_GUARDED_BY(lru_mu_);
  List active_ ABSL_GUARDED_BY(lru_mu_);
};

}  // namespace farswap::core

#endif  // FARSWAP_CLIENT_CORE_MEMORY_GROUP_H_

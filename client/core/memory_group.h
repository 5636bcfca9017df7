// A memory group (memcg): what may be resident, what is, and in which order
// it is to be taken out.
//
// Memory. A folio is charged, in pages, before it is mapped and uncharged when
// its local memory is gone. `usage` passes the limit only by ForceCharge.
//
// Swap. The slots of the group's folios are charged before they are allocated
// and uncharged when they are free; that limit is never passed. A group over
// its swap limit keeps what it has in memory: asking servers for more clusters
// would not help it.
//
// Groups are a tree. What is charged to one is charged to all above it, or,
// if one of them refuses, to none; which one refused is told, for reclaim has
// to look there: at the folios of that group and of all below it, each in
// proportion to what it has. Limits may change at any time. Charging takes no
// lock (page_counter.h).
//
// LRU. Each group has its own lists (lru.h). Which folios of a group are
// victims is their say; which group's, in a tree, is said here.
//
// Thread-safe.
#ifndef FARSWAP_CLIENT_CORE_MEMORY_GROUP_H_
#define FARSWAP_CLIENT_CORE_MEMORY_GROUP_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "client/core/folio.h"
#include "client/core/lru.h"
#include "client/core/page_counter.h"
#include "common/mutex.h"

namespace farswap::core {

struct MemoryGroupStats {
  // Of the group and all below it.
  uint64_t limit_pages = 0;
  uint64_t usage_pages = 0;
  uint64_t peak_pages = 0;
  uint64_t swap_limit_pages = 0;
  uint64_t swap_usage_pages = 0;
  uint64_t swap_peak_pages = 0;
  // Of the group alone.
  uint64_t inactive_pages = 0;
  uint64_t active_pages = 0;
  uint64_t kept_pages = 0;           // Unmapped, but still here.
  uint64_t workingset_refault = 0;   // Folios that came back.
  uint64_t workingset_activate = 0;  // Of them: within the working set.
  uint64_t workingset_restore = 0;   // Of them: had been active before.
};

// Not a bool, so that it is not taken for want of memory or of free slots.
enum class SwapCharge {
  kCharged,
  kOverLimit,  // The swap limit of the group, or of one above it.
};

class MemoryGroup {
 public:
  static constexpr uint64_t kNoLimit = PageCounter::kNoLimit;
  // Groups above one another. A charge is as many steps.
  static constexpr int kMaxDepth = 8;

  // REQUIRES: `parent`, if any, has a depth() below kMaxDepth.
  MemoryGroup(FolioArena* folios, uint64_t limit_pages,
              std::shared_ptr<MemoryGroup> parent = nullptr);
  // REQUIRES: nothing is charged to it.
  ~MemoryGroup();
  MemoryGroup(const MemoryGroup&) = delete;
  MemoryGroup& operator=(const MemoryGroup&) = delete;

  MemoryGroup* parent() const { return parent_.get(); }
  // 1 for a group without a parent.
  int depth() const { return depth_; }
  // Whether it is that group, or below it.
  bool IsWithin(const MemoryGroup* group) const;

  // --- memory ---
  // False if that would pass a limit, of this group or of one above; then
  // nothing is charged, and `*over`, if asked for, is the group to reclaim
  // from. Others' charges that are about to be refused may be in the way for
  // a moment: ask again before giving up.
  bool TryCharge(uint64_t pages, MemoryGroup** over = nullptr);
  // Past the limits if need be: for folios whose bytes are local anyway, so
  // that taking them back needs no room to be made first.
  void ForceCharge(uint64_t pages) { memory_.Charge(pages); }
  void Uncharge(uint64_t pages) { memory_.Uncharge(pages); }
  uint64_t limit() const { return memory_.limit(); }
  uint64_t usage() const { return memory_.usage(); }
  // A lower limit than the usage takes effect as reclaim gets there.
  void SetLimit(uint64_t limit_pages);

  // --- swap ---
  // As TryCharge; `*over` tells whose limit it was.
  [[nodiscard]] SwapCharge TryChargeSwap(uint64_t pages,
                                         MemoryGroup** over = nullptr);
  // Past the limits if need be: for slots in place of lost ones.
  void ForceChargeSwap(uint64_t pages) { swap_.Charge(pages); }
  void UnchargeSwap(uint64_t pages) { swap_.Uncharge(pages); }
  // How many slots more may be charged, here and above.
  uint64_t SwapRoom() const;
  // The nearest group, from this one upwards, whose swap limit is in the way
  // of that many; or null.
  const MemoryGroup* OverSwapLimit(uint64_t pages) const;
  // Whether more than half of the swap limit, of this group or of one above,
  // is in use: then what came in gives its slots up (mem_cgroup_swap_full).
  bool IsSwapFull() const;
  uint64_t swap_limit() const { return swap_.limit(); }
  uint64_t swap_usage() const { return swap_.usage(); }
  // Slots beyond a lower limit stay until they are freed.
  void SetSwapLimit(uint64_t limit_pages) { swap_.SetLimit(limit_pages); }

  // --- when to reclaim ---
  // Background reclaim starts when less than low() pages are free under the
  // limit and stops at high().
  uint64_t low() const;
  uint64_t high() const;
  // Pages to take out to be back at high(); 0 while above low().
  uint64_t ReclaimTarget() const;
  // The nearest group, from this one upwards, with a ReclaimTarget; or null.
  MemoryGroup* NeedsReclaim();

  // --- LRU ---
  // REQUIRES: the folio is on no list, and is of this group.
  void LruAdd(Folio* folio, bool active) { lru_.Add(folio, active); }
  // Off whatever list it is on, kept or not. If somebody isolated it, his
  // putback does nothing.
  void LruDel(Folio* folio);
  // Takes victims of this group and of all below it until `pages` are
  // gathered, each isolated, with a reference. Appends to `victims`; returns
  // their pages.
  uint64_t LruIsolate(uint64_t pages, std::vector<Folio*>* victims);
  // Takes that folio off its list, isolated, with a reference. False if it is
  // on none.
  bool LruIsolateFolio(Folio* folio) { return lru_.IsolateFolio(folio); }
  // Back to the inactive tail, the next victim: nothing was tried with it.
  // Keeps the caller's reference.
  void LruReturn(Folio* folio) { lru_.Return(folio); }
  // Back to the inactive head, or the active list. Keeps the caller's
  // reference.
  void LruPutback(Folio* folio, bool active) { lru_.Putback(folio, active); }

  // --- kept: unmapped, but here ---
  // How many pages of this group and all below it may be kept: a 32nd of the
  // limit. And how many are.
  uint64_t keep_limit() const { return kept_.limit(); }
  uint64_t kept() const { return kept_.usage(); }
  // Keeps an unmapped folio, still charged, whose bytes are here and stored:
  // its second chance. A soft fault ends it by LruDel, then LruAdd(active).
  // False if that would pass a keep_limit, of this group or of one above; then
  // `*over`, if asked for, is the group to drop kept ones of. REQUIRES: it is
  // on no list; somebody (the swap cache) has a reference until it is off
  // this one.
  bool LruKeep(Folio* folio, MemoryGroup** over = nullptr);
  // Keeps a folio on that was isolated by one of the next two and cannot be
  // dropped now; past the keep_limits if need be.
  void LruKeepAgain(Folio* folio);
  // As LruIsolate, of the longest kept: to be dropped, which LruDel ends.
  uint64_t LruIsolateKept(uint64_t pages, std::vector<Folio*>* victims);
  // The same, of all that this group keeps for that owner.
  uint64_t LruIsolateKeptOf(const void* owner, std::vector<Folio*>* victims);

  // --- pins ---
  // Pinned folios are never victims. How many pages may be is bounded, so that
  // the others of the group, and of those above, have room.
  enum class Pin {
    kDone,
    kBusy,    // Somebody isolated it, or it is pinned.
    kNoRoom,  // It would be too much.
  };
  Pin LruPin(Folio* folio);
  // Back to the active list. False if it is not pinned. (LruDel unpins too.)
  bool LruUnpin(Folio* folio);
  bool IsPinned(const Folio* folio) const { return lru_.IsPinned(folio); }
  // Whether that many pages more might be pinned.
  bool CanPin(uint64_t pages) const;
  uint64_t pinned() const { return pins_.usage(); }  // Pages.
  // As SetLimit; false, and nothing is changed, if more is pinned than that
  // limit allows.
  bool TrySetLimit(uint64_t limit_pages);

  // --- working set ---
  // The age to be kept in the shadow of a folio of that many pages that is
  // being evicted.
  uint32_t Evict(uint64_t pages) { return lru_.Evict(pages); }
  // A folio of that many pages that was evicted at `age` is back. Whether it
  // belongs on the active list.
  bool Refault(uint32_t age, uint64_t pages, bool was_active) {
    return lru_.Refault(age, pages, was_active);
  }

  MemoryGroupStats Stats() const;
  // Of this group and all below it. With no other thread inside.
  void CheckInvariants() const;

 private:
  enum class Kind { kMapped, kKept };
  // What a group, or its own lists, gives when its subtree is reclaimed.
  struct Share {
    MemoryGroup* group;
    bool own;         // Of `group`'s lists alone.
    int64_t weight;   // Pages it has.
    int64_t* credit;  // Pages times weights that it is behind.
  };

  // One victim of the subtree; returns its pages, 0 if there is none.
  uint64_t IsolateOne(Kind kind, std::vector<Folio*>* victims)
      ABSL_LOCKS_EXCLUDED(children_mu_);
  uint64_t IsolateOwn(Kind kind, std::vector<Folio*>* victims);
  std::vector<Share> SharesLocked(Kind kind)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(children_mu_);
  // The group of this line whose counter that is.
  MemoryGroup* GroupOf(const PageCounter* counter,
                       PageCounter MemoryGroup::*member);

  // How much may be pinned under that limit.
  static uint64_t PinLimit(uint64_t limit_pages);

  const std::shared_ptr<MemoryGroup> parent_;
  const int depth_;
  PageCounter memory_;
  PageCounter swap_;
  PageCounter kept_;
  PageCounter pins_;
  Lru lru_;

  // A group's is taken before those of the groups below it.
  mutable Mutex children_mu_;
  std::vector<MemoryGroup*> children_ ABSL_GUARDED_BY(children_mu_);
  int64_t own_credit_ ABSL_GUARDED_BY(children_mu_) = 0;
  int64_t credit_ = 0;  // Guarded by the parent's children_mu_.
};

}  // namespace farswap::core

#endif  // FARSWAP_CLIENT_CORE_MEMORY_GROUP_H_

// The swap space of a client: every cluster it was granted, their tables, the
// allocator of slots, and the swap cache, which is the tables' Cached words.
//
// After the Linux swap table (mm/swapfile.c, mm/swap_state.c): clusters are on
// one of the lists free, nonfull[order], frag[order], full; a cluster serves
// one order until it is empty again, except that order 0 may steal from any;
// per-thread hints name the cluster an order was last allocated from. A table
// is allocated with a cluster's first slot and freed with its last.
//
// Thread-safe. Lock order: the pager's block lock, a cluster's lock, the list
// lock. No function here calls out, does I/O or sleeps with a lock held. What
// only looks (GrantOf, SwapCacheGetFolio, GetSums, PartOrder, WordAt) takes no
// lock: see TableReaders.
//
// "The caller has the folio" below means: it holds the pager's lock that
// guards the folio's fields, and a reference.
#ifndef FARSWAP_CLIENT_CORE_SWAP_SPACE_H_
#define FARSWAP_CLIENT_CORE_SWAP_SPACE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/types/span.h"
#include "client/core/cluster_grant.h"
#include "client/core/folio.h"
#include "client/core/swap_entry.h"
#include "client/core/swap_table.h"
#include "common/mutex.h"

namespace farswap::core {

// Why no folio was attached. The names and meanings are the kernel's.
enum class CacheError {
  kExist,  // The slot is cached: look the folio up, and act on that.
  kNoEnt,  // The slot has no owner any more: look at the page map again.
  kBusy,   // At each order asked for a neighbour did not fit, and memory was
           // never short: plan anew, with other orders.
  kNoMem,  // Memory was short at some order, and no other order fitted.
};

// Fallbacks of SwapCacheAllocFolio, by cause: how many of the orders tried,
// and which (bit n: order n).
struct CacheFallbacks {
  uint32_t conflict = 0;  // EBUSY: a neighbour is cached, free or zero.
  uint32_t alloc = 0;     // ENOMEM: the folio or its charge.
  uint32_t conflict_orders = 0;
  uint32_t alloc_orders = 0;

  bool operator==(const CacheFallbacks&) const = default;
  void AddConflict(int order) {
    ++conflict;
    conflict_orders |= 1u << order;
  }
  void AddAlloc(int order) {
    ++alloc;
    alloc_orders |= 1u << order;
  }
};

struct CacheAlloc {
  Folio* folio = nullptr;  // Attached, `reading`; one reference for the caller.
  CacheError error = CacheError::kNoMem;  // If folio is null.
  uint32_t age = 0;   // Of the shadow that the target slot had.
  bool zero = false;  // Z of the range: nothing to fetch.
  CacheFallbacks fallbacks;
};

// Slots are charged to the group of the folio that they were given to, until
// they are free (memory_group.h).
class SwapSpace {
 public:
  explicit SwapSpace(FolioArena* folios);
  ~SwapSpace();
  SwapSpace(const SwapSpace&) = delete;
  SwapSpace& operator=(const SwapSpace&) = delete;

  // --- clusters ---

  // Adds a granted cluster, free. Its index is not reused while any entry of
  // it is in use.
  ClusterIndex AddCluster(const ClusterGrant& grant);
  // Takes at most `max` free clusters out, to be given back to their server,
  // and leaves at least `keep` of the free ones.
  std::vector<ClusterGrant> RemoveFreeClusters(size_t max, size_t keep);
  // The server lost the cluster, or took it: nothing is allocated in it any
  // more, and it is forgotten when its last slot is freed. REQUIRES: it was
  // added.
  void RetireCluster(ClusterIndex index);
  // Whether its cluster was retired. REQUIRES: as GrantOf.
  bool IsRetired(SwapEntry entry) const;
  size_t clusters() const;
  size_t free_clusters() const;
  // Slots that are not Null.
  size_t used_slots() const;

  // REQUIRES: the entry's slot is in use (the caller has its folio, or holds
  // the lock of its owner).
  ClusterGrant GrantOf(SwapEntry entry) const;

  // --- slots of a folio; the caller has the folio ---

  // Allocates 2^order slots, attaches the folio to them with count 0, sets
  // its entry. They are charged to its group, if it has one. False if no
  // cluster can take it: add one, or split the folio; or if that would pass a
  // swap limit: then `*over`, if asked for, is the group whose it is, else
  // null.
  bool FolioAllocSwap(Folio* folio, MemoryGroup** over = nullptr);
  // The same for slots in place of others that are lost and about to be freed:
  // past swap limits if need be.
  bool FolioReplaceSwap(Folio* folio);
  // One more owner for each slot: at unmapping. The first owner is legal for
  // an attached folio only.
  void FolioDupSwap(Folio* folio);
  // One owner less for each slot that has one: after mapping. (Owners that
  // went away meanwhile have given theirs back by PutEntries.)
  void FolioPutSwap(Folio* folio);
  // Detaches and frees the slots if none has an owner; else returns false.
  bool FolioFreeSwap(Folio* folio);
  // Whether a slot has an owner: of a mapped folio, somebody who was forked.
  bool FolioHasOwners(const Folio* folio) const;
  // One owner less for slots that the caller's map names: Shadow with one
  // owner becomes Null; Cached stays until its folio lets go. A slot of a part
  // of several (T) stays, without owner, until the whole part has none: one
  // sum covers them, so none may be overwritten while another is still to be
  // fetched. `group`: of the folio that was given the slots; may be null.
  void PutEntries(SwapEntry entry, uint32_t pages,
                  MemoryGroup* group = nullptr);
  // One more owner for each of `pages` slots that have one already: fork.
  void DupEntries(SwapEntry entry, uint32_t pages);

  // --- the swap cache ---

  // Attaches a new folio to the slots around `entry`: the only way in. Tries
  // each order of the bit mask `orders` from the highest; at each, every slot
  // of the aligned range must be Shadow, with the same Z, and cut into parts
  // as a folio of that order is (so include PartOrder(entry)), which zero
  // slots need not be; slots of the part but the target's may have lost their
  // owner: do not map those. `alloc` gives a folio of that order with one
  // reference, charged to its group, or null. Checks before and after
  // `alloc`, which is called without locks; a folio that lost the race in
  // between is uncharged and given back. No order at all: kBusy.
  CacheAlloc SwapCacheAllocFolio(SwapEntry entry, uint32_t orders,
                                 absl::FunctionRef<Folio*(int order)> alloc);
  // The folio attached to the slot, with a reference taken, or null. It was
  // attached at a moment of the call; it still is if the caller holds what its
  // detaching requires (the pager: the lock of the block that owns the slot).
  Folio* SwapCacheGetFolio(SwapEntry entry);
  // Detaches the folio: its words become Shadow with that age, keeping sums.
  // Words without an owner become Null. Drops the cache's reference.
  void SwapCacheDelFolio(Folio* folio, uint32_t age);

  // Sums of the parts of a folio of that order, PartsOf(order) of them. Set
  // also clears or sets Z, for every slot. They are exact for who has the
  // folio, or holds the lock of its owner: nobody else sets them.
  void SetSums(SwapEntry entry, int order, bool zero,
               absl::Span<const uint32_t> sums);
  void GetSums(SwapEntry entry, int order, absl::Span<uint32_t> sums) const;
  // The order of the part that covers the slot: what must be fetched whole.
  // As exact as sums are.
  int PartOrder(SwapEntry entry) const;

  // Up to `max` folios whose slots have no owner, each with a reference: to
  // be given FolioFreeSwap, once the caller has them and has seen that they
  // are mapped, when clusters run out. Looks at a bounded number of clusters,
  // full ones first, in rotation. `within`: only of that group and those below
  // it, if it is not null.
  std::vector<Folio*> CollectCachedOnly(size_t max,
                                        const MemoryGroup* within = nullptr);

  // The word, for tests and the curious: a snapshot.
  SwapWord WordAt(SwapEntry entry) const;

  // Bytes allocated for clusters, tables and overflow tables.
  size_t MetadataBytes() const;

  // Dies with a message if a structure contradicts itself. Takes every lock
  // in turn: for tests, with no other thread inside.
  void CheckInvariants() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace farswap::core

#endif  // FARSWAP_CLIENT_CORE_SWAP_SPACE_H_

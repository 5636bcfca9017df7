// Taking one folio out, from its region to its slots.
//
// The way of a folio out:
//   1. A victim is isolated from its group's LRU.
//   2. Under its block's lock: slots (its old ones, if it has any); the page
//      map's words become kSwap; the pages are moved to staging; uncharged.
//      From here a fault finds the folio in the swap cache, its bytes in
//      staging, stable.
//   3. Without a lock: hash. All zeros: nothing is kept. As stored: nothing is
//      sent. Else: sums into the table, and a put.
//   4. Put done, nobody took the folio back: its words become Shadow, and the
//      staging is free. Or it is kept for a while (core/lru.h): charged again,
//      in the swap cache, its bytes where they are; that is only done later.
// A put that found its cluster lost takes new slots and starts over: the bytes
// are still here. A folio that cannot go whole, because free slots are too
// scattered or because the program's map changes inside it, goes in parts.
//
// Thread-safe.
#ifndef FARSWAP_CLIENT_PAGER_TAKE_OUT_H_
#define FARSWAP_CLIENT_PAGER_TAKE_OUT_H_

#include <atomic>
#include <bitset>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "client/pager/cluster_supply.h"
#include "client/pager/forget.h"
#include "client/pager/shared.h"
#include "common/mutex.h"

namespace farswap::pager {

class TakeOut {
 public:
  // `progress` is called, with no lock held, when staging and a put's place
  // have come free; `lost`, with a block's lock held, when RehomeAll has work.
  TakeOut(Shared* shared, ClusterSupply* clusters,
          std::function<void()> progress, std::function<void()> lost);
  // REQUIRES: the transport is shut down.
  ~TakeOut();
  TakeOut(const TakeOut&) = delete;
  TakeOut& operator=(const TakeOut&) = delete;

  enum class Step {
    kTaken,    // All of it, or a part.
    kSkipped,  // Being written, pinned, gone: another one may do.
    kNoRoom,   // No staging, no place for a put, or no slots: later.
  };
  // Takes out a folio that the caller isolated; takes over his reference.
  // `keep`: it may be kept, if it is small and there is room.
  // Adds the pages to `*taken`. Waits at most a moment (2 ms) for staging, and
  // for a grant of clusters as ClusterSupply does, until `until`.
  // REQUIRES: the caller is in Shared::grace.
  Step Run(core::Folio* folio, SteadyTime until, uint64_t* taken, bool keep);

  // --- kept folios ---
  // Drops the longest kept ones of the group and of those below it, until
  // `pages` of local memory have come free; returns how many have.
  uint64_t DropKept(core::MemoryGroup* group, uint64_t pages);
  // Drops all of the region's.
  void DropKeptOf(Region* region);
  // If the folio is kept: it is no longer, but still charged, and its staging
  // is the caller's to give back. Else null. REQUIRES: its block lock.
  char* UnkeepLocked(core::Folio* folio);
  // As UnkeepLocked, but it is dropped, and uncharged.
  char* DropLocked(core::Folio* folio);

  // Cuts a folio that the caller isolated; takes over his reference. False if
  // it stays as it is. REQUIRES: the caller is in Shared::grace.
  bool Cut(core::Folio* folio);

  // Gives new slots to folios whose put found its cluster lost, as far as
  // there are any.
  void RehomeAll();

 private:
  // How long pages that could not all be taken are tried to be put back: while
  // an event of the program's is unread the kernel refuses it, and the reader
  // never waits; memory for page tables may take longer.
  static constexpr std::chrono::seconds kPutBackWait{60};

  class WriteBack;
  enum class Captured {
    kYes,
    kNo,
    kNotWhole,  // EINVAL: its parts may go one by one.
    kNoSlots,
    kOverLimit,  // Of swap.
    kShared,     // EBUSY, and a forked child may be why.
    kNoRoom
  };
  enum class Rehomed { kRestarted, kNotNeeded, kNoSlots };

  // A place among the transport's max_puts: taken before a folio is captured,
  // given back when it needs no put or its put is done.
  bool ReservePut();
  void ReleasePut();

  // Gives the folio's pages frames of their own. REQUIRES: the caller is in
  // Shared::grace, and holds no staging or put's place.
  bool Unshare(const core::Folio* folio);

  // Step 2 and, if it says kYes, on.
  Captured TryCapture(core::Folio* folio, SteadyTime until, bool keep);
  Captured CaptureTo(core::Folio* folio, char* staging, SteadyTime until,
                     bool keep);
  // Takes over the staging if it says kYes.
  Captured Capture(core::Folio* folio, char* staging, bool keep);
  Captured CaptureLocked(Region* region, core::Folio* folio, char* staging);
  // False: some pages stay captured, see StayCaptured.
  bool UndoCapture(Region* region, core::Folio* folio, char* staging,
                   OpResult moved, bool new_slots);
  // Puts back what a capture that failed had moved. Returns which pages stay
  // in staging, as the program has moved their place away meanwhile.
  static std::bitset<kPagesPerPmd> PutBack(AddressSpace* space, char* home,
                                           char* staging, size_t bytes);
  // Of a folio only those pages were captured, and go on: the others are
  // mapped, as folios of one page.
  void StayCaptured(Region* region, core::Folio* folio, char* staging,
                    const std::bitset<kPagesPerPmd>& pages);
  // Accounts for pages that were captured.
  void CapturedLocked(core::Folio* folio, char* staging, uint64_t pages);

  // Cuts an isolated folio into smaller ones, and takes those out.
  Step RunParts(core::Folio* folio, SteadyTime until, uint64_t* taken,
                bool keep);
  // For an isolated folio whose slots would pass a swap limit.
  Step RunOverLimit(core::Folio* folio, SteadyTime until, uint64_t* taken,
                    bool keep);
  // The parts of the folio, in its place: isolated, a reference each. None if
  // it is not mapped any more, or there is no memory for them.
  std::vector<core::Folio*> Split(core::Folio* folio);

  // Step 3; takes over the reference of the page map.
  void Settle(core::Folio* folio, std::shared_ptr<Region> region, bool huge,
              bool keep);
  enum class Settled {
    kNot,   // It needs a put.
    kDone,  // Its bytes are not needed any more.
    kKept,
  };
  Settled SettleUnwritten(Region* region, core::Folio* folio, bool zero,
                          uint64_t hash, bool keep);
  // Whether the copy in the slots is known to be gone.
  bool IsCopyLost(const core::Folio* folio) const;
  // The folio's own words, of those that still name its slots, become
  // `word`; their slots have one owner less.
  void Disown(Region* region, core::Folio* folio, PageWord word);

  // Step 4.
  void StartPut(core::Folio* folio, std::shared_ptr<Region> region, bool huge,
                bool keep);
  void PutDone(std::unique_ptr<WriteBack> put, const absl::Status& status);
  // Gives back the staging, if any, the I/O's reference and the put's place.
  void Release(core::Folio* folio, char* staging, bool huge);

  // Drops what must go so that the folio may be kept. With no lock held.
  void MakeRoomToKeep(core::Folio* folio);
  // Keeps a folio that is unmapped and stored, if it may be.
  bool KeepLocked(const Region* region, core::Folio* folio);
  static bool IsKept(const core::Folio* folio) {
    return !folio->mapped && !folio->reading && !folio->writeback &&
           folio->has_swap && folio->staging != nullptr;
  }
  // Drops an isolated folio, if it is kept still; takes over the reference.
  uint64_t Drop(core::Folio* folio);
  // The slots of a kept folio are lost, but its bytes are here: puts it again;
  // if there is no place for a put now, it stays kept. False if nobody wants
  // its bytes.
  bool PutAgainLocked(core::Folio* folio);

  // A put's cluster is lost: gives the folio new slots, to be put again.
  Rehomed Rehome(WriteBack* put);
  // What names the old folio's slots names the fresh one's from now on.
  void RenameLocked(Region* region, core::Folio* old, core::Folio* fresh);

  Shared& shared_;
  ClusterSupply& clusters_;
  Forget forget_;
  const std::function<void()> progress_;
  const std::function<void()> lost_;
  std::atomic<int> puts_{0};
  // What kept folios may have of staging: a quarter, for they have whole
  // blocks of it to themselves; nothing of a small one.
  const uint64_t max_kept_pages_;
  std::atomic<uint64_t> kept_pages_{0};

  Mutex mu_;
  std::vector<std::unique_ptr<WriteBack>> lost_puts_ ABSL_GUARDED_BY(mu_);
};

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_TAKE_OUT_H_

// What the program does to its own map, applied to the page maps: discards
// (madvise), unmapping, and moving away (mremap).
//
// Each event is applied once, in the order of reading: they are queued as they
// are read, and one thread at a time applies them. Until it has, operations
// on the range are refused (map_events.h), so a fault there takes turns.
//
// A move changes where a region's pages are, and nothing of what they are
// (Region::AddressOf). It raises an unmapping of where they were, after its own
// event, unless it was told to leave that mapped; then somebody unmaps it
// later. Others may live there by then, so it is passed over (vacated.h).
//
// The kernel changes the map first and tells afterwards. A thread's changes are
// told in their order, as it sleeps until each is read; those of two threads
// may be told the other way round: a move to addresses that another thread has
// just left, before that is told. Such a move is held, and what is told of its
// addresses behind it, until they are free, or until all that has happened was
// read. If two held moves are of, or to, the same addresses, their order is
// not known: what is remote of them is lost (SIGBUS), rather than guessed at.
// Nor can it be told from the events what was unmapped, where something was
// moved to where memory was that faulted and was no region's: what is about to
// become far memory, or what mremap has grown. Then the kernel is asked
// (map_unmaps.cc).
//
// A fork is handed on (forks.h), when all that was read before it is done, but
// for what is held: of that the child knows nothing.
//
// Thread-safe. Locks: apply_mu_, then a block's.
#ifndef FARSWAP_CLIENT_PAGER_MAP_CHANGES_H_
#define FARSWAP_CLIENT_PAGER_MAP_CHANGES_H_

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "absl/functional/function_ref.h"
#include "client/pager/forget.h"
#include "client/pager/fork_sink.h"
#include "client/pager/leftovers.h"
#include "client/pager/map_events.h"
#include "client/pager/shared.h"
#include "client/pager/vacated.h"
#include "common/mutex.h"
#include "common/units.h"

namespace farswap::pager {

class MapChanges {
 public:
  // `mm`: the address space, which outlives this.
  MapChanges(Shared* shared, Mm* mm, ForkSink* forks)
      : shared_(*shared), mm_(*mm), forks_(*forks), forget_(shared) {}
  MapChanges(const MapChanges&) = delete;
  MapChanges& operator=(const MapChanges&) = delete;

  // In the order of reading.
  void Queue(const MapEvent& change);
  // Applies what is queued; when it returns, all that was queued before is, or
  // is held, to be tried again by the next call.
  void Apply();

  // Calls `act` while no change is being applied. What is Settled then has no
  // change that will be applied later and has happened before.
  // False: one is, which may take long; then nothing was called.
  bool TryExclude(absl::FunctionRef<void()> act);

  // Where in the range no unmapping is to come that a move caused. What is not
  // far memory there must not become it before: if it went by an unmapping that
  // is told, that would be taken for the one to come, and that one for the
  // program's own, of whatever is there by then.
  std::vector<AddressRange> WithoutVacated(char* start, char* end) const {
    MutexLock lock(&vacated_mu_);
    return vacated_.Settled(start, end);
  }

  // Memory there faults from now on, and is no region's until RemoveNobodys.
  void AddNobodys(char* start, char* end);
  void RemoveNobodys(char* start, char* end);
  // A forked child's.
  void InheritNobodys(const MapChanges& parent);

  // MADV_FREE leaves pages where they are until the kernel wants them, and
  // its event says no more than that of MADV_DONTNEED. So some time after a
  // discard what is still there is made folios again: charged, and to be taken
  // out like others. For the background thread.
  void AdoptLeftovers();
  // Something in the range is there, or may be, that the page map takes for
  // absent zeros: it is looked at in a second.
  void AddLeftovers(char* start, char* end);
  // Whether a page that others have, too, of that name (Residents), is to be
  // counted here, as none of them does.
  using IsUncounted = absl::FunctionRef<bool(uint64_t name)>;
  // Whether Adopt, without that, has left something that others have, too,
  // since this was asked last.
  bool TakeShares() { return shares_.exchange(false); }
  // Makes folios of what is there, now: of memory that was found. Of what
  // others have too only if it is given, and says so. Returns how many such
  // pages, or some more, were left for later, as the program is changing them.
  uint64_t Adopt(char* start, char* end,
                 std::optional<IsUncounted> is_uncounted = std::nullopt);

 private:
  // A change that waits for another one.
  struct Held {
    MapEvent change;
    std::vector<AddressRange> rest;  // Of an unmapping: what is to be done.
    bool unclear = false;            // A move out of an unknown order.
  };

  // False: there is none.
  bool Pop(MapEvent* change);
  // It is told, and who waits in the range finds what it is now.
  void Applied(const MapEvent& change);

  // --- map_moves.cc ---
  // Performs or holds it.
  void TakeIn(const MapEvent& change) ABSL_EXCLUSIVE_LOCKS_REQUIRED(apply_mu_);
  void TakeInFork(const MapEvent& change)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(apply_mu_);
  void Hold(Held held) ABSL_EXCLUSIVE_LOCKS_REQUIRED(apply_mu_);
  // Whether the range is of a held change; or where one moves to.
  bool IsOnHeld(const AddressRange& range) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(apply_mu_);
  bool IsToHeld(const AddressRange& range) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(apply_mu_);
  // A move's unmapping is to be expected there.
  void Vacate(const AddressRange& from)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(apply_mu_);
  // Whether nothing is where it moves to; whether all that it moves is there.
  bool IsFree(const MapEvent& move) const;
  bool IsOurs(const MapEvent& move) const;
  void Perform(const Held& held) ABSL_EXCLUSIVE_LOCKS_REQUIRED(apply_mu_);
  void Move(const RegionTable::Piece& piece, char* to, bool lose)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(apply_mu_);
  void LoseLocked(Region* region, uint64_t page, uint64_t pages);
  void PerformHeld(size_t i) ABSL_EXCLUSIVE_LOCKS_REQUIRED(apply_mu_);
  // Whether nothing before it is of the same addresses, and it can be done.
  bool IsReady(size_t i) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(apply_mu_);
  void PerformReady() ABSL_EXCLUSIVE_LOCKS_REQUIRED(apply_mu_);
  // The move that must have been the first; or none.
  size_t PickHeld() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(apply_mu_);
  // If nothing that has happened is unread: what is held is all there is, but
  // for as many that are being taken in.
  void PerformAll(size_t untold) ABSL_EXCLUSIVE_LOCKS_REQUIRED(apply_mu_);

  // --- map_unmaps.cc ---
  void TakeInUnmap(const MapEvent& change)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(apply_mu_);
  // Of a piece in a range that is told to be unmapped.
  void UnmapToldOf(const RegionTable::Piece& piece)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(apply_mu_);
  // Whether that may be of what was there before the piece.
  bool MayBeLate(const MapEvent& unmap, const AddressRange& piece)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(apply_mu_);
  // What of the range was unmapped since something was moved there. False: it
  // cannot be known.
  bool FindUnmapped(const AddressRange& range,
                    std::vector<AddressRange>* unmapped)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(apply_mu_);
  // As moves tell that have happened and are not performed: `*unmapped`, and
  // `*rest`, of which none tells. False: they do not agree.
  bool AskMoves(const AddressRange& range, std::vector<AddressRange>* unmapped,
                std::vector<AddressRange>* rest)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(apply_mu_);
  // Something was moved there; whether something was since all that had
  // happened was read.
  void AddArrival(const AddressRange& to)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(apply_mu_);
  bool HasArrived(const AddressRange& range)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(apply_mu_);
  void ForgetArrivals() ABSL_EXCLUSIVE_LOCKS_REQUIRED(apply_mu_);

  void Remove(const RegionTable::Piece& piece);
  void Unmap(const RegionTable::Piece& piece);
  using MaybeUncounted = std::optional<IsUncounted>;
  // Those return what Adopt does.
  uint64_t AdoptIn(const RegionTable::Piece& piece,
                   const MaybeUncounted& is_uncounted);
  // Part of a block. REQUIRES: its lock.
  uint64_t AdoptBlockLocked(const RegionTable::Piece& piece,
                            const MaybeUncounted& is_uncounted);
  // Part of a block, of which nothing is known. REQUIRES: its lock.
  uint64_t AdoptRunLocked(const RegionTable::Piece& run,
                          const MaybeUncounted& is_uncounted);
  // The pages of the run which are there, and to be counted here.
  PageSet FindLocked(const RegionTable::Piece& run,
                     const MaybeUncounted& is_uncounted);
  // Those that overlap the range.
  std::vector<AddressRange> LeftoversIn(const char* start, const char* end);
  // The order of the folio that the i-th page of the run can be of, with those
  // next to it, all of which are `found`.
  static int OrderAt(const RegionTable::Piece& run, size_t i,
                     const PageSet& found);
  // Makes a folio of present pages. REQUIRES: the block's lock.
  void AdoptLocked(Region* region, uint64_t page, int order);

  // Calls `run(page, pages)` for what each block has of the range.
  template <typename Run>
  static void ForEachBlockIn(uint64_t page, uint64_t pages, Run run) {
    const uint64_t end = page + pages;
    while (page < end) {
      const uint64_t next =
          std::min(end, AlignDown(page, kPagesPerPmd) + kPagesPerPmd);
      run(page, next - page);
      page = next;
    }
  }

  Shared& shared_;
  Mm& mm_;
  ForkSink& forks_;
  Forget forget_;

  std::atomic<bool> shares_{false};
  Mutex apply_mu_;
  mutable Mutex vacated_mu_;  // A leaf.
  Vacated vacated_ ABSL_GUARDED_BY(vacated_mu_);
  // What faults and is no region's, but for what mremap has grown.
  Vacated nobodys_ ABSL_GUARDED_BY(vacated_mu_);
  std::vector<Held> held_ ABSL_GUARDED_BY(apply_mu_);  // As they were read.
  std::vector<AddressRange> arrivals_ ABSL_GUARDED_BY(apply_mu_);
  std::atomic<size_t> held_count_{0};
  std::atomic<size_t> queued_{0};
  Mutex mu_;
  std::deque<MapEvent> queue_ ABSL_GUARDED_BY(mu_);
  Leftovers leftovers_ ABSL_GUARDED_BY(mu_);
};

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_MAP_CHANGES_H_

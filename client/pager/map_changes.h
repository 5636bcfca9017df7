// What the program does to its own map, applied to the page maps: discards
// (madvise), unmapping, and moving away (mremap).
//
// Each event is applied once, in the order of reading: they are queued as they
// are read, and one thread at a time applies them. Until it has, operations
// on the range are refused (map_events.h), so a fault there takes turns.
//
// What an mremap moves is no far memory any more. Pages that were local are
// where they went to, the program's own; those that were not raise SIGBUS
// there, since the new mapping is still registered and its addresses are no
// region's. A move raises an unmapping of where the pages were, after its own
// event. It may come when a new region is there already, and is passed over.
//
// Thread-safe. Locks: apply_mu_, then a block's.
#ifndef FARSWAP_CLIENT_PAGER_MAP_CHANGES_H_
#define FARSWAP_CLIENT_PAGER_MAP_CHANGES_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <vector>

#include "client/pager/forget.h"
#include "client/pager/map_events.h"
#include "client/pager/shared.h"
#include "common/mutex.h"

namespace farswap::pager {

class MapChanges {
 public:
  explicit MapChanges(Shared* shared) : shared_(*shared), forget_(shared) {}
  MapChanges(const MapChanges&) = delete;
  MapChanges& operator=(const MapChanges&) = delete;

  // In the order of reading.
  void Queue(const MapEvent& change);
  // Applies what is queued; when it returns, all that was queued before is.
  void Apply();

  // MADV_FREE leaves pages where they are until the kernel wants them, and
  // its event says no more than that of MADV_DONTNEED. So some time after a
  // discard what is still there is made folios again: charged, and to be taken
  // out like others. For the background thread.
  void AdoptLeftovers();
  // Something in the range is there, or may be, that the page map takes for
  // absent zeros: it is looked at in a second.
  void AddLeftovers(char* start, char* end);

 private:
  using SteadyTime = std::chrono::steady_clock::time_point;
  // A discarded range that is yet to be looked at.
  struct Leftover {
    char* start;
    char* end;
    SteadyTime due;
  };

  void ApplyOne(const MapEvent& change)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(apply_mu_);
  // Whether that unmapping is what a move left behind.
  bool IsEndOfMove(const MapEvent& change)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(apply_mu_);
  void Remove(const RegionTable::Piece& piece);
  void Unmap(const RegionTable::Piece& piece);
  void AdoptIn(const RegionTable::Piece& piece);
  void AdoptBlockLocked(Region* region, char* start, char* end);
  // Those that overlap the range.
  std::vector<Leftover> LeftoversIn(const char* start, const char* end);
  // Makes a folio of a present page. REQUIRES: the block's lock.
  void AdoptLocked(Region* region, uint64_t page);

  Shared& shared_;
  Forget forget_;

  Mutex apply_mu_;
  // Moves whose unmapping has not been read.
  std::vector<MapEvent> moves_ ABSL_GUARDED_BY(apply_mu_);
  std::atomic<size_t> queued_{0};
  Mutex mu_;
  std::deque<MapEvent> queue_ ABSL_GUARDED_BY(mu_);
  std::deque<Leftover> leftovers_ ABSL_GUARDED_BY(mu_);
};

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_MAP_CHANGES_H_

// What a program knows of its use of ranges: pin, prefetch, cold, discard; and
// what has become of their pages.
//
// Ranges are bytes of a region and are treated as by madvise(2): the start
// must be a multiple of 4 KiB (else InvalidArgument), the length is rounded up
// to one, an empty range is nothing to do; what reaches past the region's end
// is ResourceExhausted (ENOMEM), and nothing is done. Pin, Cold and Discard
// are exact: a folio that lies across an end of the range is cut there, so
// ranges of whole 2 MiB cost least.
//
// They are called on the program's threads, which may wait for pages as in a
// fault. Thread-safe.
#ifndef FARSWAP_CLIENT_PAGER_HINTS_H_
#define FARSWAP_CLIENT_PAGER_HINTS_H_

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/pager/fault_path.h"
#include "client/pager/prefetcher.h"
#include "client/pager/reclaim.h"
#include "client/pager/shared.h"

namespace farswap::pager {

enum class PageState : uint8_t {
  kZero = 0,      // Reads as zeros; nothing is kept of it.
  kResident = 1,  // In local memory.
  kRemote = 2,    // On a server, or on its way there.
  kLost = 3,      // Raises SIGBUS; or SIGSEGV, where it was unmapped.
};

class Hints {
 public:
  // `mm`: whose regions are meant.
  Hints(Shared* shared, const Mm* mm, Reclaim* reclaim, FaultPath* faults);
  Hints(const Hints&) = delete;
  Hints& operator=(const Hints&) = delete;

  absl::Status Start() { return prefetcher_.Start(); }
  void Stop() { prefetcher_.Stop(); }
  // The id of the thread that prefetches; 0: not running.
  int tid() const { return prefetcher_.tid(); }

  // Brings the range in and keeps it there: it counts against the group's
  // limit, and is never taken out. Pins do not nest. ResourceExhausted if the
  // limit would leave the rest of the group too little (MemoryGroup::
  // CanPin), InvalidArgument if the program has unmapped a page, DataLoss if a
  // page is lost, Aborted if a folio is not to be
  // had (on its way, in I/O) within the fault deadline: then none of what was
  // not pinned before is.
  absl::Status Pin(Region* region, uint64_t offset, uint64_t bytes);
  // What is in the range may go out again. A folio that reaches past the range
  // stays pinned.
  absl::Status Unpin(Region* region, uint64_t offset, uint64_t bytes);

  // Asks for what is out to be brought in, and returns. Read when no fault is
  // being served, as long as there is room that reclaim does not want free;
  // the rest is dropped, and counted.
  absl::Status Prefetch(Region* region, uint64_t offset, uint64_t bytes);

  // Takes out what will go, now, and returns the bytes.
  absl::StatusOr<uint64_t> Cold(Region* region, uint64_t offset,
                                uint64_t bytes);

  // The range reads as zeros from now on, lost pages too; local memory and
  // slots are freed, and nothing is written. What another thread writes there
  // meanwhile may be discarded or not. InvalidArgument if a page is pinned.
  absl::Status Discard(Region* region, uint64_t offset, uint64_t bytes);

  // A PageState for each page of the range, to `*pages`; a snapshot of each
  // 2 MiB.
  absl::Status Residency(Region* region, uint64_t offset, uint64_t bytes,
                         uint8_t* pages) const;

 private:
  // The pages [first, end) of a region that is held.
  struct Range {
    std::shared_ptr<Region> region;
    uint64_t first = 0;
    uint64_t end = 0;
  };
  // [first, second): of one folio.
  using Pages = std::pair<uint64_t, uint64_t>;
  using Group = core::MemoryGroup;

  absl::StatusOr<Range> RangeOf(Region* region, uint64_t offset,
                                uint64_t bytes) const;

  // Cuts the folio that lies across the start of `page`, if one does.
  absl::Status Sharpen(Region* region, uint64_t page, SteadyTime until);
  bool IsAcrossLocked(Region* region, uint64_t page) const;

  // The pages of [first, end), of one block, that are not pinned.
  uint64_t CountUnpinned(Region* region, uint64_t first, uint64_t end);
  absl::Status PinBlock(Region* region, uint64_t first, uint64_t end,
                        SteadyTime until, std::vector<Pages>* pinned);
  // Whether a page of [first, end), of one block, is no more the region's.
  bool HasHole(Region* region, uint64_t first, uint64_t end);
  // Whether a change of the program's map, read and not applied, is about a
  // page of [first, end). REQUIRES: their block's lock.
  bool IsChangingLocked(Region* region, uint64_t first, uint64_t end) const;
  // Pins what is mapped; kBusy if not all could be.
  Group::Pin PinMapped(Region* region, uint64_t first, uint64_t end,
                       std::vector<Pages>* pinned);
  // Unpins the folios inside [first, end), of one block.
  void UnpinBlock(Region* region, uint64_t first, uint64_t end);
  // What is in a row of pages of one block; `*done`: where to go on.
  absl::Status DiscardBlock(Region* region, uint64_t first, uint64_t end,
                            uint64_t* done);

  // Waits for what the program has moved or unmapped to be known, so that what
  // is meant is found; if that takes too long the kernel's answer tells.
  void AwaitMap(const Region* region) const;
  // The mapped folio of the page, or null. REQUIRES: its block's lock.
  core::Folio* FolioOfLocked(Region* region, uint64_t page) const;

  Shared& shared_;
  const Mm& mm_;
  Reclaim& reclaim_;
  Prefetcher prefetcher_;
};

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_HINTS_H_

#include "client/pager/hints.h"

#include <errno.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/pager/forget.h"

// Of Linux 5.14; not in the headers of all of the C libraries.
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

namespace farswap::pager {
namespace {

// How long it waits for a folio that is in somebody's hands before it looks
// again: about as long as a put takes.
constexpr std::chrono::milliseconds kMoment{1};
// For the pager to hear of what the program does to the same range meanwhile.
constexpr std::chrono::seconds kMapWait{1};

SteadyTime Now() { return std::chrono::steady_clock::now(); }

uint64_t BlockEnd(uint64_t page, uint64_t end) {
  return std::min(AlignDown(page, kPagesPerPmd) + kPagesPerPmd, end);
}

// Brings pages in as touching them would, on the caller's thread; but a lost
// one is an error instead of SIGBUS.
absl::Status Touch(Region* region, uint64_t first, uint64_t end) {
  const uint64_t run = region->RunAt(first, end - first);
  if (first + run < end) {  // Not in a row, since the program moved some.
    const absl::Status rest = Touch(region, first + run, end);
    if (!rest.ok()) return rest;
  }
  char* const at = region->AddressOf(first);
  const size_t bytes = run * kPageBytes;
  int error = 0;
  do {
    error = madvise(at, bytes, MADV_POPULATE_READ) == 0 ? 0 : errno;
  } while (error == EINTR || error == EAGAIN);
  if (error == 0) return absl::OkStatus();
  if (error == EHWPOISON || error == EFAULT) {
    return absl::DataLossError("a page of the range is lost");
  }
  return absl::ErrnoToStatus(error, "the range cannot be brought in");
}

absl::Status TooMuch(const core::MemoryGroup& group) {
  return absl::ResourceExhaustedError(absl::StrCat(
      "to pin the range beside the ", group.pinned() * kPageBytes,
      " bytes that are pinned would leave too little of the limit to the "
      "rest: 8 MiB, or a sixteenth of it"));
}

absl::Status Unmapped() {
  return absl::InvalidArgumentError(
      "a page of the range was unmapped by the program");
}

absl::Status Late() {
  return absl::AbortedError(
      "a folio of the range was in use until the fault deadline: on its way "
      "out, pinned for I/O, or locked");
}

PageState StateOf(PageWord word) {
  switch (word.kind()) {
    case PageWord::Kind::kFolio:
      return PageState::kResident;
    case PageWord::Kind::kSwap:
      return PageState::kRemote;
    case PageWord::Kind::kPoisoned:
    case PageWord::Kind::kHole:
      return PageState::kLost;
    default:
      return PageState::kZero;
  }
}

}  // namespace

Hints::Hints(Shared* shared, const Mm* mm, Reclaim* reclaim, FaultPath* faults)
    : shared_(*shared),
      mm_(*mm),
      reclaim_(*reclaim),
      prefetcher_(shared, [faults](Region* region, uint64_t page, uint64_t end,
                                   uint64_t* next) {
        return faults->Prefetch(region, page, end, next);
      }) {}

absl::StatusOr<Hints::Range> Hints::RangeOf(Region* region, uint64_t offset,
                                            uint64_t bytes) const {
  Range range;
  range.region = mm_.regions.Hold(region);
  if (range.region == nullptr) {
    return absl::InvalidArgumentError("there is no such region");
  }
  if (offset % kPageBytes != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "offset is ", offset, "; it must be a multiple of ", kPageBytes));
  }
  const uint64_t length = range.region->length();
  if (offset > length || bytes > length - offset) {
    return absl::ResourceExhaustedError(
        absl::StrCat(bytes, " bytes at ", offset, " reach past the region's ",
                     length, " bytes"));
  }
  AwaitMap(region);
  range.first = offset / kPageBytes;
  range.end = range.first + AlignUp(bytes, kPageBytes) / kPageBytes;
  return range;
}

void Hints::AwaitMap(const Region* region) const {
  const SteadyTime until = Now() + kMapWait;
  // Not IsChanging: whoever made a change goes on when it is read, which is
  // just before that is known.
  const auto is_settled = [this](const RegionTable::Piece& piece) {
    return mm_.space->Settled(piece.start, piece.pages() * kPageBytes);
  };
  for (;;) {
    const auto pieces = mm_.regions.PiecesOf(region);
    if (std::all_of(pieces.begin(), pieces.end(), is_settled)) return;
    if (Now() >= until) return;
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
}

core::Folio* Hints::FolioOfLocked(Region* region, uint64_t page) const {
  const PageWord word = region->map().Get(page);
  if (word.kind() != PageWord::Kind::kFolio) return nullptr;
  return shared_.folios.At(static_cast<core::FolioId>(word.value()));
}

// --- edges ---

bool Hints::IsAcrossLocked(Region* region, uint64_t page) const {
  if (page % kPagesPerPmd == 0) return false;
  const core::Folio* const folio = FolioOfLocked(region, page);
  // One that is pinned was by a call for more than this range, and stays.
  return folio != nullptr && folio->index < page &&
         !folio->group->IsPinned(folio);
}

absl::Status Hints::Sharpen(Region* region, uint64_t page, SteadyTime until) {
  for (;;) {
    {
      MutexLock lock(shared_.LockOf(region, page));
      if (!IsAcrossLocked(region, page)) return absl::OkStatus();
    }
    if (reclaim_.Cut(region, page)) continue;
    if (Now() >= until) return Late();
    std::this_thread::sleep_for(kMoment);
  }
}

// --- pin ---

absl::Status Hints::Pin(Region* region, uint64_t offset, uint64_t bytes) {
  const auto range = RangeOf(region, offset, bytes);
  if (!range.ok()) return range.status();
  uint64_t wanted = 0;
  for (uint64_t p = range->first; p < range->end; p = BlockEnd(p, range->end)) {
    wanted += CountUnpinned(region, p, BlockEnd(p, range->end));
  }
  if (!region->group()->CanPin(wanted)) return TooMuch(*region->group());
  const SteadyTime until = Now() + shared_.fault_deadline;
  std::vector<Pages> pinned;  // Folios that were not before.
  absl::Status status;
  for (uint64_t p = range->first; p < range->end && status.ok();
       p = BlockEnd(p, range->end)) {
    status = PinBlock(region, p, BlockEnd(p, range->end), until, &pinned);
  }
  if (status.ok()) return status;
  for (const auto& [first, end] : pinned) UnpinBlock(region, first, end);
  return status;
}

uint64_t Hints::CountUnpinned(Region* region, uint64_t first, uint64_t end) {
  MutexLock lock(shared_.LockOf(region, first));
  uint64_t pages = 0;
  for (uint64_t p = first; p < end; ++p) {
    const core::Folio* const folio = FolioOfLocked(region, p);
    if (folio == nullptr || !folio->group->IsPinned(folio)) ++pages;
  }
  return pages;
}

absl::Status Hints::PinBlock(Region* region, uint64_t first, uint64_t end,
                             SteadyTime until, std::vector<Pages>* pinned) {
  for (;;) {
    absl::Status status = Touch(region, first, end);
    if (status.ok()) status = Sharpen(region, first, until);
    if (status.ok()) status = Sharpen(region, end, until);
    if (!status.ok()) return status;
    if (HasHole(region, first, end)) return Unmapped();
    const Group::Pin result = PinMapped(region, first, end, pinned);
    if (result == Group::Pin::kDone) return absl::OkStatus();
    if (result == Group::Pin::kNoRoom) return TooMuch(*region->group());
    if (Now() >= until) return Late();
    std::this_thread::sleep_for(kMoment);
  }
}

bool Hints::HasHole(Region* region, uint64_t first, uint64_t end) {
  MutexLock lock(shared_.LockOf(region, first));
  for (uint64_t p = first; p < end; ++p) {
    if (region->map().Get(p).kind() == PageWord::Kind::kHole) return true;
  }
  return false;
}

bool Hints::IsChangingLocked(Region* region, uint64_t first,
                             uint64_t end) const {
  while (first < end) {
    const uint64_t run = region->RunAt(first, end - first);
    const char* const at = region->AddressOf(first);
    if (mm_.space->IsChanging(at, run * kPageBytes)) return true;
    first += run;
  }
  return false;
}

core::MemoryGroup::Pin Hints::PinMapped(Region* region, uint64_t first,
                                        uint64_t end,
                                        std::vector<Pages>* pinned) {
  MutexLock lock(shared_.LockOf(region, first));
  // What the map says is about to change.
  if (IsChangingLocked(region, first, end)) return Group::Pin::kBusy;
  Group::Pin result = Group::Pin::kDone;
  for (uint64_t p = first; p < end;) {
    core::Folio* const folio = FolioOfLocked(region, p);
    if (folio == nullptr) {  // Out again; the next turn brings it.
      result = Group::Pin::kBusy;
      ++p;
      continue;
    }
    const uint64_t folio_end = folio->index + PagesOf(folio->order);
    if (!folio->group->IsPinned(folio)) {
      const bool inside = folio->index >= first && folio_end <= end;
      const Group::Pin pin =
          inside ? folio->group->LruPin(folio) : Group::Pin::kBusy;
      if (pin == Group::Pin::kNoRoom) return pin;
      if (pin == Group::Pin::kDone)
        pinned->emplace_back(folio->index, folio_end);
      if (pin == Group::Pin::kBusy) result = pin;
    }
    p = folio_end;
  }
  return result;
}

absl::Status Hints::Unpin(Region* region, uint64_t offset, uint64_t bytes) {
  const auto range = RangeOf(region, offset, bytes);
  if (!range.ok()) return range.status();
  for (uint64_t p = range->first; p < range->end; p = BlockEnd(p, range->end)) {
    UnpinBlock(region, p, BlockEnd(p, range->end));
  }
  reclaim_.Kick();
  return absl::OkStatus();
}

void Hints::UnpinBlock(Region* region, uint64_t first, uint64_t end) {
  MutexLock lock(shared_.LockOf(region, first));
  for (uint64_t p = first; p < end; ++p) {
    core::Folio* const folio = FolioOfLocked(region, p);
    if (folio == nullptr || folio->index != p) continue;
    if (p + PagesOf(folio->order) <= end) folio->group->LruUnpin(folio);
  }
}

// --- prefetch, cold ---

absl::Status Hints::Prefetch(Region* region, uint64_t offset, uint64_t bytes) {
  const auto range = RangeOf(region, offset, bytes);
  if (!range.ok()) return range.status();
  if (range->first < range->end) {
    prefetcher_.Ask(range->region, range->first, range->end);
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> Hints::Cold(Region* region, uint64_t offset,
                                     uint64_t bytes) {
  const auto range = RangeOf(region, offset, bytes);
  if (!range.ok()) return range.status();
  if (range->first == range->end) return 0;
  // A folio that cannot be cut now goes, or stays, whole.
  for (const uint64_t edge : {range->first, range->end}) {
    (void)Sharpen(region, edge, Now());
  }
  return reclaim_.TakeOutRange(region, range->first, range->end) * kPageBytes;
}

// --- discard ---

absl::Status Hints::Discard(Region* region, uint64_t offset, uint64_t bytes) {
  const auto range = RangeOf(region, offset, bytes);
  if (!range.ok()) return range.status();
  uint64_t unpinned = 0;
  for (uint64_t p = range->first; p < range->end; p = BlockEnd(p, range->end)) {
    unpinned += CountUnpinned(region, p, BlockEnd(p, range->end));
  }
  if (unpinned < range->end - range->first) {
    return absl::InvalidArgumentError(
        "a page of the range is pinned; unpin it before it is discarded");
  }
  for (uint64_t p = range->first; p < range->end;) {
    const SteadyTime until = Now() + kMapWait;
    const uint64_t end = BlockEnd(p, range->end);
    absl::Status status = DiscardBlock(region, p, end, &p);
    while (absl::IsUnavailable(status) && Now() < until) {
      std::this_thread::sleep_for(std::chrono::microseconds(50));
      status = DiscardBlock(region, p, end, &p);
    }
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status Hints::DiscardBlock(Region* region, uint64_t first, uint64_t end,
                                 uint64_t* done) {
  MutexLock lock(shared_.LockOf(region, first));
  for (uint64_t p = first; p < end; ++p) {
    const core::Folio* const folio = FolioOfLocked(region, p);
    if (folio != nullptr && folio->group->IsPinned(folio)) {
      return absl::InvalidArgumentError("a page was pinned meanwhile");
    }
    // What is there now is not ours to discard.
    if (region->map().Get(p).kind() == PageWord::Kind::kHole) {
      return Unmapped();
    }
  }
  // Run by run, where the program moved some.
  const uint64_t run = region->RunAt(first, end - first);
  // Under the lock, so no fault installs a page before all is forgotten.
  const OpResult zapped =
      mm_.space->Zap(region->AddressOf(first), run * kPageBytes);
  if (zapped.error == EAGAIN) {
    return absl::UnavailableError("the program is changing the range's map");
  }
  if (!zapped.ok()) {
    return absl::ErrnoToStatus(zapped.error,
                               "the kernel does not discard the range: is a "
                               "page of it locked (mlock)?");
  }
  Forget(&shared_).RangeLocked(region, first, run, PageWord());
  *done = first + run;
  return absl::OkStatus();
}

// --- residency ---

absl::Status Hints::Residency(Region* region, uint64_t offset, uint64_t bytes,
                              uint8_t* pages) const {
  const auto range = RangeOf(region, offset, bytes);
  if (!range.ok()) return range.status();
  for (uint64_t p = range->first; p < range->end;) {
    const uint64_t end = BlockEnd(p, range->end);
    // Not straight to the caller's array: it may be far memory itself.
    std::array<uint8_t, kPagesPerPmd> states;
    {
      MutexLock lock(shared_.LockOf(region, p));
      for (uint64_t i = p; i < end; ++i) {
        states[i - p] = static_cast<uint8_t>(StateOf(region->map().Get(i)));
      }
    }
    std::memcpy(pages + (p - range->first), states.data(), end - p);
    p = end;
  }
  return absl::OkStatus();
}

}  // namespace farswap::pager

#include "client/pager/forked_map.h"

#include <errno.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "client/pager/vacated.h"

namespace farswap::pager {
namespace {

// The child has it: was local, or was given to it.
constexpr PageWord kPresent(PageWord::Kind::kFolio, 0);
// How long a child may be in the way of its own poison: its events are read
// meanwhile, so each is over in some microseconds.
constexpr std::chrono::seconds kPoisonWait{10};
constexpr std::chrono::microseconds kPoisonPause{50};
constexpr int kEagerTries = 1000;

using Clock = std::chrono::steady_clock;

char* AlignDownTo(char* at, uint64_t bytes) {
  return at - reinterpret_cast<uintptr_t>(at) % bytes;
}

bool PoisonRuns(UffdForked* uffd, std::vector<AddressRange> runs,
                Clock::time_point until);

// What of the runs lies in the range is, from now on, at `to`.
void MoveRuns(const MapEvent& move, std::vector<AddressRange>* runs) {
  std::vector<AddressRange> moved;
  for (const auto& [start, end] : *runs) {
    char* const from = std::clamp(start, move.start, move.end);
    char* const until = std::clamp(end, move.start, move.end);
    if (start < std::min(end, move.start)) {
      moved.emplace_back(start, std::min(end, move.start));
    }
    if (from < until) {
      moved.emplace_back(move.to + (from - move.start),
                         move.to + (until - move.start));
    }
    if (std::max(start, move.end) < end) {
      moved.emplace_back(std::max(start, move.end), end);
    }
  }
  *runs = std::move(moved);
}

// The child's own changes, that nobody else reads: what it moves is to be
// poisoned where it goes to; what it gives up is poisoned all the same. False:
// there are none.
bool FollowChanges(UffdForked* uffd, std::vector<AddressRange>* runs,
                   Clock::time_point until) {
  bool any = false;
  while (const auto message = uffd->Read()) {
    any = true;
    if (message->fault) continue;
    const MapEvent& change = message->change;
    if (change.kind == MapEvent::Kind::kRemap) MoveRuns(change, runs);
    if (change.kind != MapEvent::Kind::kFork) continue;
    UffdForked child(change.child);
    if (!PoisonRuns(&child, *runs, until)) child.Leak();
  }
  return any;
}

// False: it could not be done in time.
bool PoisonRuns(UffdForked* uffd, std::vector<AddressRange> runs,
                Clock::time_point until) {
  int refused = 0;  // In a row.
  while (!runs.empty()) {
    AddressRange& run = runs.back();
    const auto bytes = static_cast<size_t>(run.second - run.first);
    const OpResult result = uffd->Poison(run.first, bytes);
    run.first += result.done;
    if (result.error == ESRCH) return true;
    const bool later = result.error == EAGAIN || result.error == ENOMEM;
    // Else present (EEXIST), or not mapped any more.
    if (!result.ok() && !later) run.first += kPageBytes;
    if (run.first == run.second) runs.pop_back();
    refused = later ? refused + 1 : 0;
    if (!later) continue;
    if (Clock::now() >= until) return false;
    // Who changes the map all the time is out of the way for some
    // microseconds once its change was read.
    const bool changed = FollowChanges(uffd, &runs, until);
    if (!changed && refused > kEagerTries) {
      std::this_thread::sleep_for(kPoisonPause);
    }
  }
  return true;
}

}  // namespace

ForkedMap::Range::Range(char* first, char* last,
                        std::shared_ptr<core::MemoryGroup> owner,
                        FailPolicy fail_policy)
    : start(first),
      end(last),
      base(AlignDownTo(first, kPmdBytes)),
      map(std::make_unique<PageMap>(
          AlignUp(static_cast<uint64_t>(last - base), kPmdBytes) / kPageBytes)),
      group(std::move(owner)),
      policy(fail_policy) {}

ForkedMap::~ForkedMap() { Clear(); }

// --- the fork ---

void ForkedMap::AddPiece(const RegionTable::Piece& piece) {
  Region* const region = piece.region.get();
  Range range(piece.start, piece.end, region->shared_group(),
              region->fail_policy());
  const uint64_t end = piece.page + piece.pages();
  region->map().ForEachBlock([&](uint64_t block) {
    const uint64_t from = std::max(piece.page, block * kPagesPerPmd);
    const uint64_t to = std::min(end, (block + 1) * kPagesPerPmd);
    if (from < to) AddBlock(&range, piece, from, to);
  });
  ranges_.push_back(std::move(range));
}

void ForkedMap::AddBlock(Range* range, const RegionTable::Piece& piece,
                         uint64_t first, uint64_t end) {
  Region* const region = piece.region.get();
  char* const at = piece.start + (first - piece.page) * kPageBytes;
  const Grace::Hold hold(&shared_.grace);
  MutexLock lock(shared_.LockOf(region, first));
  if (end - first == kPagesPerPmd &&
      AddWholeBlockLocked(range, region, first, at)) {
    return;
  }
  for (uint64_t page = first; page < end; ++page) {
    AddPageLocked(range, region, page, at + (page - first) * kPageBytes);
  }
  range->map->Fold(range->PageOf(at) / kPagesPerPmd);
}

bool ForkedMap::AddWholeBlockLocked(Range* range, Region* region, uint64_t page,
                                    char* at) {
  const PageWord block = region->map().GetBlock(page / kPagesPerPmd);
  if (block.is_zeros()) return true;
  if (block.kind() != PageWord::Kind::kSwap) return false;
  if (range->PageOf(at) % kPagesPerPmd != 0) return false;
  for (uint64_t i = 0; i < kPagesPerPmd; ++i) {
    const auto entry = block.entry() + static_cast<uint32_t>(i);
    if (StagedLocked(region, page + i, entry) != nullptr) return false;
  }
  shared_.swap.DupEntries(block.entry(), kPagesPerPmd);
  range->map->Set(range->PageOf(at), kPmdOrder, PageWord::Swap(block.entry()));
  return true;
}

void ForkedMap::AddPageLocked(Range* range, Region* region, uint64_t page,
                              char* at) {
  const PageWord word = region->map().Get(page);
  PageWord here;
  if (word.kind() == PageWord::Kind::kFolio) {
    // What is there may be dropped by a discard that is under way.
    const PageWord block = region->map().GetBlock(page / kPagesPerPmd);
    if (!block.discarded()) here = kPresent;
  } else if (word.kind() == PageWord::Kind::kPoisoned) {
    here = word;
  } else if (word.kind() == PageWord::Kind::kSwap) {
    const char* const staged = StagedLocked(region, page, word.entry());
    if (staged == nullptr) {
      shared_.swap.DupEntries(word.entry(), 1);
      here = word;
    } else {
      // It may never reach its slot: the parent may take it back.
      const OpResult copied = uffd_.CopyIn(at, staged, kPageBytes);
      const bool there = copied.ok() || copied.error == EEXIST;
      here = there ? kPresent : PageWord(PageWord::Kind::kPoisoned, 0);
    }
  }
  if (here != PageWord()) range->map->Set(range->PageOf(at), 0, here);
}

const char* ForkedMap::StagedLocked(const Region* region, uint64_t page,
                                    core::SwapEntry entry) {
  core::Folio* const folio = shared_.swap.SwapCacheGetFolio(entry);
  if (folio == nullptr) return nullptr;
  const char* staged = nullptr;
  const uint64_t i = page - folio->index;
  const bool same = folio->owner == region && i < PagesOf(folio->order) &&
                    folio->entry + static_cast<uint32_t>(i) == entry;
  if (same && !folio->mapped && !folio->reading) staged = folio->staging;
  shared_.folios.Put(folio);
  return staged == nullptr ? nullptr : staged + i * kPageBytes;
}

// --- lookup ---

ForkedMap::Range* ForkedMap::Find(const char* at) {
  for (Range& range : ranges_) {
    if (range.start <= at && at < range.end) return &range;
  }
  return nullptr;
}

std::vector<ForkedMap::Part> ForkedMap::PartsFrom(const Range& range,
                                                  uint64_t page,
                                                  uint64_t most) const {
  std::vector<Part> parts;
  uint64_t bytes = 0;
  const uint64_t end = range.PageOf(range.end);
  while (page < end) {
    const PageWord word = range.map->Get(page);
    if (word.kind() != PageWord::Kind::kSwap) break;
    if (shared_.swap.WordAt(word.entry()).zero()) break;
    Part part{};
    part.order = shared_.swap.PartOrder(word.entry());
    part.head = word.entry().AlignedTo(part.order);
    part.first = page - (word.entry().raw() - part.head.raw());
    part.grant = shared_.swap.GrantOf(part.head);
    bytes += BytesOf(part.order);
    const bool fits =
        parts.empty() ||
        (bytes <= most && part.grant.session == parts.front().grant.session);
    if (!fits) break;
    shared_.swap.GetSums(part.head, part.order, absl::MakeSpan(&part.sum, 1));
    parts.push_back(part);
    page = part.first + PagesOf(part.order);
  }
  return parts;
}

// --- changes ---

template <typename Run>
void ForkedMap::ForEachSwap(const Range& range, Run run) {
  const PageMap& map = *range.map;
  const uint64_t start = range.PageOf(range.start);
  const uint64_t stop = range.PageOf(range.end);
  map.ForEachBlock([&](uint64_t block) {
    const uint64_t end = std::min(stop, (block + 1) * kPagesPerPmd);
    for (uint64_t page = std::max(start, block * kPagesPerPmd); page < end;) {
      const uint64_t first = page;
      while (page < end && map.Get(page).kind() == PageWord::Kind::kSwap) {
        ++page;
      }
      if (page == first) {
        ++page;
      } else {
        run(first, page);
      }
    }
  });
}

void ForkedMap::Drop(Range* range, uint64_t first, uint64_t end,
                     PageWord word) {
  PageMap& map = *range->map;
  for (uint64_t page = first; page < end;) {
    const PageWord block = map.GetBlock(page / kPagesPerPmd);
    const uint64_t next =
        std::min(end, AlignDown(page, kPagesPerPmd) + kPagesPerPmd);
    const bool whole = next - page == kPagesPerPmd;
    if (whole && block.kind() == PageWord::Kind::kSwap) {
      shared_.swap.PutEntries(block.entry(), kPagesPerPmd, range->group.get());
    } else if (!block.is_zeros()) {
      for (uint64_t at = page; at < next; ++at) {
        const PageWord old = map.Get(at);
        if (old.kind() != PageWord::Kind::kSwap) continue;
        shared_.swap.PutEntries(old.entry(), 1, range->group.get());
      }
    }
    if (whole) {
      map.Set(page, kPmdOrder, word);
    } else if (!block.is_zeros() || word != PageWord()) {
      for (uint64_t at = page; at < next; ++at) map.Set(at, 0, word);
    }
    page = next;
  }
}

void ForkedMap::CutAt(char* at) {
  Range* const range = Find(at);
  if (range == nullptr || range->start == at) return;
  Range tail(at, range->end, range->group, range->policy);
  const uint64_t skip = range->PageOf(tail.base);
  range->map->ForEachBlock([&](uint64_t block) {
    for (uint64_t i = 0; i < kPagesPerPmd; ++i) {
      const uint64_t page = block * kPagesPerPmd + i;
      if (range->AddressOf(page) < at || range->AddressOf(page) >= tail.end) {
        continue;
      }
      const PageWord word = range->map->Get(page);
      if (word == PageWord()) continue;
      tail.map->Set(page - skip, 0, word);
      range->map->Set(page, 0, PageWord());
    }
  });
  range->end = at;
  ranges_.push_back(std::move(tail));
}

void ForkedMap::Forget(char* start, char* end) {
  for (Range& range : ranges_) {
    char* const from = std::max(start, range.start);
    char* const to = std::min(end, range.end);
    if (from >= to) continue;
    Drop(&range, range.PageOf(from), range.PageOf(to), PageWord());
  }
}

void ForkedMap::Unmap(char* start, char* end) {
  Forget(start, end);
  CutAt(start);
  CutAt(end);
  std::erase_if(ranges_, [&](const Range& range) {
    return range.start >= start && range.end <= end;
  });
}

// What is left behind, if it is left mapped, is zeros; else its unmapping is
// told next. A range that is in the way has gone, or is about to go, and that
// was not told yet; or it came there later: nobody knows, so neither is known
// any more (SIGBUS).
void ForkedMap::Move(char* start, char* end, char* to) {
  char* const to_end = to + (end - start);
  CutAt(start);
  CutAt(end);
  std::vector<Range> moved;
  bool clear = true;
  for (Range& range : ranges_) {
    if (range.start >= start && range.end <= end) {
      Range left(range.start, range.end, range.group, range.policy);
      left.base = range.base;
      std::swap(left, range);
      moved.push_back(std::move(left));
    } else {
      clear &= range.start >= to_end || range.end <= to;
    }
  }
  if (!clear) Unmap(to, to_end);
  for (Range& range : moved) {
    range.start += to - start;
    range.end += to - start;
    range.base += to - start;
    ranges_.push_back(std::move(range));
  }
  if (!clear) Unmap(to, to_end);
}

// --- the end ---

bool ForkedMap::PoisonAll(UffdForked* uffd) const {
  std::vector<AddressRange> runs;
  for (const Range& range : ranges_) {
    ForEachSwap(range, [&](uint64_t first, uint64_t end) {
      runs.emplace_back(range.AddressOf(first), range.AddressOf(end));
    });
  }
  return PoisonRuns(uffd, std::move(runs), Clock::now() + kPoisonWait);
}

void ForkedMap::Clear() {
  for (Range& range : ranges_) {
    ForEachSwap(range, [&](uint64_t first, uint64_t end) {
      Drop(&range, first, end, PageWord());
    });
  }
  ranges_.clear();
}

}  // namespace farswap::pager

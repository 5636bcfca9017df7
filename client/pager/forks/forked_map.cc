#include "client/pager/forks/forked_map.h"

#include <errno.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "client/pager/forks/poison_runs.h"
#include "client/pager/vacated.h"

namespace farswap::pager {
namespace {

// The child has it: was local, or was given to it.
constexpr PageWord kPresent(PageWord::Kind::kFolio, 0);
constexpr PageWord kLost(PageWord::Kind::kPoisoned, 0);
char* AlignDownTo(char* at, uint64_t bytes) {
  return at - reinterpret_cast<uintptr_t>(at) % bytes;
}

}  // namespace

ForkedMap::Range::Range(char* first, char* last, char* page_0,
                        std::shared_ptr<core::MemoryGroup> owner,
                        FailPolicy fail_policy)
    : start(first),
      end(last),
      base(page_0),
      map(std::make_unique<PageMap>(
          AlignUp(static_cast<uint64_t>(last - base), kPmdBytes) / kPageBytes)),
      group(std::move(owner)),
      policy(fail_policy) {}

ForkedMap::~ForkedMap() { Clear(); }

// --- the fork ---

void ForkedMap::AddPiece(const RegionTable::Piece& piece) {
  Region* const region = piece.region.get();
  Range range(piece.start, piece.end, AlignDownTo(piece.start, kPmdBytes),
              region->shared_group(), region->fail_policy());
  const uint64_t end = piece.page + piece.pages();
  region->map().ForEachBlock([&](uint64_t block) {
    const uint64_t from = std::max(piece.page, block * kPagesPerPmd);
    const uint64_t to = std::min(end, (block + 1) * kPagesPerPmd);
    if (from < to) AddBlock(&range, piece, from, to);
  });
  ranges_.push_back(std::move(range));
}

void ForkedMap::AddUnclear(char* start, char* end) {
  while (start < end) {
    char* next = end;
    const Range* covered = nullptr;
    for (const Range& range : ranges_) {
      if (range.end <= start || range.start >= next) continue;
      covered = range.start <= start ? &range : nullptr;
      next = covered != nullptr ? range.end : range.start;
    }
    if (covered == nullptr) AddUnclearIn(start, next);
    start = next;
  }
}

// Page by page, as it may be mapped in part. Where nothing is, the child may
// move what it has to.
void ForkedMap::AddUnclearIn(char* start, char* end) {
  while (start < end) {
    char* next = start;
    while (next < end && uffd_.IsMapped(next)) next += kPageBytes;
    if (start < next) {
      Range unclear(start, next, AlignDownTo(start, kPmdBytes), nullptr,
                    FailPolicy::kPoison);
      Drop(&unclear, unclear.PageOf(start), unclear.PageOf(next), kLost);
      ranges_.push_back(std::move(unclear));
    }
    start = next + kPageBytes;
  }
}

void ForkedMap::Lose(char* start, char* end) { DropIn(start, end, kLost); }

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
    if (StagedLocked(&shared_, region, page + i, entry) != nullptr)
      return false;
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
    const char* const staged =
        StagedLocked(&shared_, region, page, word.entry());
    if (staged == nullptr) {
      shared_.swap.DupEntries(word.entry(), 1);
      here = word;
    } else {
      // It may never reach its slot: the parent may take it back.
      const OpResult copied = uffd_.CopyIn(at, staged, kPageBytes);
      const bool there = copied.ok() || copied.error == EEXIST;
      here = there ? kPresent : kLost;
    }
  }
  if (here != PageWord()) range->map->Set(range->PageOf(at), 0, here);
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

bool IsInSlot(PageWord word) { return word.kind() == PageWord::Kind::kSwap; }

template <typename Is, typename Run>
void ForkedMap::ForEachRun(const Range& range, Is is, Run run) {
  const PageMap& map = *range.map;
  const uint64_t start = range.PageOf(range.start);
  const uint64_t stop = range.PageOf(range.end);
  map.ForEachBlock([&](uint64_t block) {
    const uint64_t end = std::min(stop, (block + 1) * kPagesPerPmd);
    for (uint64_t page = std::max(start, block * kPagesPerPmd); page < end;) {
      const uint64_t first = page;
      while (page < end && is(map.Get(page))) ++page;
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
  const uint64_t skip = AlignDown(range->PageOf(at), kPagesPerPmd);
  Range tail(at, range->end, range->AddressOf(skip), range->group,
             range->policy);
  const uint64_t cut = range->PageOf(at);
  range->map->ForEachBlock([&](uint64_t block) {
    const uint64_t first = block * kPagesPerPmd;
    // A table has blocks past the range's end, too.
    if (first + kPagesPerPmd <= cut || range->AddressOf(first) >= tail.end) {
      return;
    }
    const PageWord whole = range->map->GetBlock(block);
    if (whole == PageWord()) return;
    if (first >= cut && whole.kind() != PageWord::Kind::kLeaf) {
      tail.map->Set(first - skip, kPmdOrder, whole);
      range->map->Set(first, kPmdOrder, PageWord());
      return;
    }
    for (uint64_t page = std::max(first, cut); page < first + kPagesPerPmd;
         ++page) {
      const PageWord word = range->map->Get(page);
      if (word == PageWord()) continue;
      tail.map->Set(page - skip, 0, word);
      range->map->Set(page, 0, PageWord());
    }
  });
  range->end = at;
  ranges_.push_back(std::move(tail));
}

void ForkedMap::DropIn(char* start, char* end, PageWord word) {
  for (Range& range : ranges_) {
    char* const from = std::max(start, range.start);
    char* const to = std::min(end, range.end);
    if (from >= to) continue;
    Drop(&range, range.PageOf(from), range.PageOf(to), word);
  }
}

void ForkedMap::Forget(char* start, char* end) {
  DropIn(start, end, PageWord());
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
      Range left(range.start, range.end, range.base, range.group, range.policy);
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
  if (!clear) Lose(to, to_end);
}

// --- the end ---

bool ForkedMap::PoisonAll(UffdForked* uffd) const {
  std::vector<AddressRange> runs;
  for (const Range& range : ranges_) {
    ForEachRun(
        range, [](PageWord word) { return IsInSlot(word) || word == kLost; },
        [&](uint64_t first, uint64_t end) {
          runs.emplace_back(range.AddressOf(first), range.AddressOf(end));
        });
  }
  return PoisonRuns(uffd, std::move(runs));
}

void ForkedMap::Clear() {
  for (Range& range : ranges_) {
    ForEachRun(range, IsInSlot, [&](uint64_t first, uint64_t end) {
      Drop(&range, first, end, PageWord());
    });
  }
  ranges_.clear();
}

}  // namespace farswap::pager

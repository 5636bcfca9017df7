#include "client/pager/tree/process_mm.h"

#include <algorithm>
#include <utility>

#include "common/units.h"

namespace farswap::pager {
namespace {

constexpr PageWord kHole(PageWord::Kind::kHole, 0);

}  // namespace

ProcessMm::ProcessMm(Shared* shared, std::shared_ptr<core::MemoryGroup> group,
                     uint64_t id, OwnFd uffd, char* transit, OnFork on_fork)
    : Mm(&shared->graves),
      shared_(*shared),
      group_(std::move(group)),
      id_(id),
      uffd_(std::move(uffd), transit),
      on_fork_(std::move(on_fork)),
      changes_(shared, this, this),
      forget_(shared) {
  space = &uffd_;
  changes = &changes_;
}

std::vector<AddressRange> ProcessMm::GapsIn(char* start, char* end) const {
  std::vector<AddressRange> gaps;
  const auto add = [&](char* from, char* to) {
    const auto settled = changes_.WithoutVacated(from, to);
    gaps.insert(gaps.end(), settled.begin(), settled.end());
  };
  char* at = start;
  for (const auto& piece : regions.PiecesIn(start, end)) {  // By address.
    if (at < piece.start) add(at, piece.start);
    at = std::max(at, piece.end);
  }
  if (at < end) add(at, end);
  return gaps;
}

void ProcessMm::Track(char* start, char* end) {
  const std::vector<AddressRange> gaps = GapsIn(start, end);
  if (gaps.empty()) return;
  // At once, so that it does not grow while changes are applied, which takes as
  // long as they are large: what faults before it is a region's is zeros. What
  // is something else by now is found otherwise the next time.
  for (const auto& [first, last] : gaps) {
    changes_.AddNobodys(first, last);
    (void)uffd_.RegisterAll(first, static_cast<size_t>(last - first));
  }
  std::vector<AddressRange> tracked;
  // The text that names the range may be older than a change of it: what it
  // says of a gap is only a guess, which the registering proves.
  (void)changes_.TryExclude([&] { tracked = TrackExcluded(start, end); });
  for (const auto& [first, last] : tracked) {
    (void)changes_.Adopt(first, last);
  }
}

std::vector<AddressRange> ProcessMm::TrackExcluded(char* start, char* end) {
  std::vector<AddressRange> tracked;
  for (const auto& [first, last] : GapsIn(start, end)) {
    for (char* at = first; at < last;) {
      char* const next = std::min(last, WindowEnd(at));
      if (TrackGap(at, next)) tracked.emplace_back(at, next);
      at = next;
    }
  }
  return tracked;
}

bool ProcessMm::TrackGap(char* start, char* end) {
  const auto bytes = static_cast<uint64_t>(end - start);
  // Of what was there before nothing is to be told any more.
  if (!uffd_.Settled(start, bytes)) return false;
  if (!uffd_.RegisterAll(start, bytes).ok()) return false;
  // What was unmapped since the text is a hole in it, and of what is mapped
  // there next nobody would be told.
  const std::vector<AddressRange> holes = uffd_.NotRegistered(start, bytes);
  // A fork that began before has copied it as it was: the next time.
  if (!uffd_.Settled(start, bytes)) return false;
  // It may share it, too.
  if (uffd_.forked()) (void)uffd_.Protect(start, bytes);
  // What happens from here on is applied after this, and finds the pieces.
  char* at = start;
  for (const auto& [from, to] : holes) {
    if (at < from) AddPiece(at, from);
    at = to;
  }
  if (at < end) AddPiece(at, end);
  changes_.RemoveNobodys(start, end);
  return true;
}

template <typename Run>
void ProcessMm::ForEachBlock(const RegionTable::Piece& piece, Run run) {
  const uint64_t end = piece.page + piece.pages();
  for (uint64_t page = piece.page; page < end;) {
    const uint64_t next =
        std::min(end, AlignDown(page, kPagesPerPmd) + kPagesPerPmd);
    char* const at = piece.start + (page - piece.page) * kPageBytes;
    if (!run(at, page, next - page)) return;
    page = next;
  }
}

bool ProcessMm::LetGo(Region* region, char* at, uint64_t page, uint64_t pages) {
  const size_t bytes = pages * kPageBytes;
  {
    // Nothing is taken out meanwhile.
    MutexLock lock(shared_.LockOf(region, page));
    if (!IsHereLocked(region, page, pages)) return false;
    const absl::Status status = uffd_.Unregister(at, bytes);
    // Invalid is what has nothing to be unregistered.
    if (!status.ok() && !absl::IsInvalidArgument(status)) return false;
    forget_.RangeLocked(region, page, pages, kHole);
  }
  regions.Carve(at, at + bytes);
  return true;
}

uint64_t ProcessMm::Adopt(std::optional<MapChanges::IsUncounted> is_uncounted) {
  return changes_.Adopt(nullptr, reinterpret_cast<char*>(UINTPTR_MAX),
                        is_uncounted);
}

bool ProcessMm::IsHereLocked(Region* region, uint64_t page, uint64_t pages) {
  for (uint64_t at = page; at < page + pages; ++at) {
    const PageWord::Kind kind = region->map().Get(at).kind();
    if (kind == PageWord::Kind::kSwap || kind == PageWord::Kind::kPoisoned) {
      return false;
    }
  }
  return true;
}

void ProcessMm::Untrack(char* start, char* end) {
  if (regions.PiecesIn(start, end).empty()) return;
  (void)changes_.TryExclude([&] { UntrackExcluded(start, end); });
}

void ProcessMm::UntrackExcluded(char* start, char* end) {
  for (const auto& piece : regions.PiecesIn(start, end)) {
    bool answers = true;
    uint64_t opened = 0;  // Not charged: whoever has them is to be found.
    ForEachBlock(piece, [&](char* at, uint64_t page, uint64_t pages) {
      answers = LetGo(piece.region.get(), at, page, pages) ||
                uffd_.Unshare(at, pages * kPageBytes, &opened).ok();
      return answers;
    });
    if (!answers) return;
  }
}

RegionTable::Piece ProcessMm::AddPiece(char* start, char* end) {
  const std::shared_ptr<Region> region = RegionFor(start, end);
  const auto page =
      static_cast<uint64_t>(start - region->address()) / kPageBytes;
  RegionTable::Piece piece{start, end, region, page};
  SetEmpty(piece);
  regions.Place(piece);
  return piece;
}

void ProcessMm::SetEmpty(const RegionTable::Piece& piece) {
  Region* const region = piece.region.get();
  const uint64_t end = piece.page + piece.pages();
  const auto set_in = [&](uint64_t block) {
    const uint64_t first = std::max(piece.page, block * kPagesPerPmd);
    const uint64_t next = std::min(end, (block + 1) * kPagesPerPmd);
    if (first >= next) return;
    MutexLock lock(shared_.LockOf(region, first));
    // Nothing else of the block is there.
    const bool untouched = region->map().GetBlock(block).is_zeros();
    if (next - first < kPagesPerPmd && untouched) {
      region->map().Set(block * kPagesPerPmd, kPmdOrder, kHole);
    }
    forget_.RangeLocked(region, first, next - first, PageWord());
  };
  set_in(piece.page / kPagesPerPmd);
  if ((end - 1) / kPagesPerPmd != piece.page / kPagesPerPmd) {
    set_in((end - 1) / kPagesPerPmd);
  }
  // Those in between, but for what was never touched.
  region->map().ForEachBlock(set_in);
}

std::shared_ptr<Region> ProcessMm::RegionFor(char* start, char* end) {
  const uint64_t window = reinterpret_cast<uint64_t>(start) / kWindowBytes;
  char* const base = reinterpret_cast<char*>(window * kWindowBytes);
  // Of whole blocks, as holes are set beside the range.
  const uint64_t page =
      AlignDown(static_cast<uint64_t>(start - base) / kPageBytes, kPagesPerPmd);
  const uint64_t pages =
      AlignUp(static_cast<uint64_t>(end - base) / kPageBytes, kPagesPerPmd) -
      page;
  for (const std::shared_ptr<Region>& region : regions.Regions()) {
    if (region->address() == base && region->IsHome(page, pages)) return region;
  }
  RegionOptions options;
  options.found = true;
  return regions.AddEmpty(std::make_unique<Region>(
      shared_from_this(), base, kWindowBytes, group_, options));
}

}  // namespace farswap::pager

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

void ProcessMm::Track(char* start, char* end) {
  std::vector<AddressRange> tracked;
  // The text that names the range may be older than a change of it: what it
  // says of a gap is only a guess, which the registering proves.
  changes_.Exclude([&] { tracked = TrackExcluded(start, end); });
  for (const auto& [first, last] : tracked) changes_.Adopt(first, last);
}

std::vector<AddressRange> ProcessMm::TrackExcluded(char* start, char* end) {
  std::vector<AddressRange> tracked;
  char* at = start;
  const auto gap = [&](char* to) {
    while (at < to) {
      char* const next = std::min(to, WindowEnd(at));
      if (TrackGap(at, next)) tracked.emplace_back(at, next);
      at = next;
    }
  };
  for (const auto& piece : regions.PiecesIn(start, end)) {  // By address.
    gap(piece.start);
    at = std::max(at, piece.end);
  }
  gap(end);
  return tracked;
}

bool ProcessMm::TrackGap(char* start, char* end) {
  const auto bytes = static_cast<uint64_t>(end - start);
  // Of what was there before nothing is to be told any more.
  if (!uffd_.Settled(start, bytes)) return false;
  // Found before it faults.
  const RegionTable::Piece piece = AddPiece(start, end);
  const bool registered = uffd_.RegisterAll(start, bytes).ok();
  // A fork that began before has copied it as it was: the next time.
  const bool forking = registered && !uffd_.Settled(start, bytes);
  if (forking) (void)uffd_.Unregister(start, bytes);
  if (!registered || forking) {
    Abandon(piece);
    return false;
  }
  // What had gone by then has told nobody, and never will; what comes there is
  // for the next time.
  for (const auto& [from, to] : uffd_.NotRegistered(start, bytes)) {
    (void)uffd_.Unregister(from, static_cast<size_t>(to - from));
    Abandon(RegionTable::Piece(piece).In(from, to));
  }
  return true;
}

void ProcessMm::Abandon(const RegionTable::Piece& piece) {
  regions.Carve(piece.start, piece.end);
  forget_.Range(piece.region.get(), piece.page, piece.pages(), kHole);
}

void ProcessMm::Adopt() {
  for (const auto& piece : regions.All()) {
    changes_.Adopt(piece.start, piece.end);
  }
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
  changes_.Exclude([&] { UntrackExcluded(start, end); });
}

void ProcessMm::UntrackExcluded(char* start, char* end) {
  for (const auto& piece : regions.PiecesIn(start, end)) {
    Region* const region = piece.region.get();
    for (char* at = piece.start; at < piece.end;) {
      const uint64_t page =
          piece.page + static_cast<uint64_t>(at - piece.start) / kPageBytes;
      const uint64_t pages =
          std::min(AlignDown(page, kPagesPerPmd) + kPagesPerPmd,
                   piece.page + piece.pages()) -
          page;
      const size_t bytes = pages * kPageBytes;
      bool let_go = false;
      {
        // Nothing is taken out meanwhile.
        MutexLock lock(shared_.LockOf(region, page));
        let_go = IsHereLocked(region, page, pages) &&
                 uffd_.Unregister(at, bytes).ok();
        if (let_go) {
          forget_.RangeLocked(region, page, pages, kHole);
        }
      }
      if (let_go) {
        regions.Carve(at, at + bytes);
      } else if (!uffd_.Unshare(at, bytes).ok()) {
        return;  // It does not answer now.
      }
      at += bytes;
    }
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

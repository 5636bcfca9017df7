#include "client/pager/tree/fork_copy.h"

#include <errno.h>

#include <algorithm>

#include "client/pager/map_ranges.h"
#include "common/units.h"

namespace farswap::pager {
namespace {

constexpr PageWord kLost(PageWord::Kind::kPoisoned, 0);

}  // namespace

void ForkCopy::Copy(const std::vector<AddressRange>& hidden) {
  for (const auto& piece : parent_.regions.All()) {
    for (const auto& part : Without(piece, hidden)) CopyPiece(part);
  }
}

void ForkCopy::CopyPiece(const RegionTable::Piece& piece) {
  const RegionTable::Piece to = child_.AddPiece(piece.start, piece.end);
  piece.region->map().ForEachBlock([&](uint64_t block) {
    const uint64_t first = std::max(piece.page, block * kPagesPerPmd);
    const uint64_t end =
        std::min(piece.page + piece.pages(), (block + 1) * kPagesPerPmd);
    if (first >= end) return;
    char* const at = piece.start + (first - piece.page) * kPageBytes;
    CopyRun(piece.region.get(), first, end - first, at, to);
  });
}

void ForkCopy::CopyRun(Region* from, uint64_t page, uint64_t pages, char* at,
                       const RegionTable::Piece& to) {
  const uint64_t to_page =
      to.page + static_cast<uint64_t>(at - to.start) / kPageBytes;
  Region* const region = to.region.get();
  const Grace::Hold hold(&shared_.grace);
  MutexLock lock(shared_.LockOf(from, page));
  if (pages == kPagesPerPmd && CopyBlockLocked(from, page, region, to_page)) {
    return;
  }
  for (uint64_t i = 0; i < pages; ++i) {
    CopyPageLocked(from, page + i, at + i * kPageBytes, region, to_page + i);
  }
}

bool ForkCopy::CopyBlockLocked(Region* from, uint64_t page, Region* to,
                               uint64_t to_page) {
  const PageWord block = from->map().GetBlock(page / kPagesPerPmd);
  if (block.is_zeros()) return true;
  if (block.kind() != PageWord::Kind::kSwap) return false;
  if (to_page % kPagesPerPmd != 0) return false;
  for (uint64_t i = 0; i < kPagesPerPmd; ++i) {
    const auto entry = block.entry() + static_cast<uint32_t>(i);
    if (StagedLocked(&shared_, from, page + i, entry) != nullptr) return false;
  }
  shared_.swap.DupEntries(block.entry(), kPagesPerPmd);
  shared_.counters.remote_pages.Add(kPagesPerPmd);
  to->map().Set(to_page, kPmdOrder, PageWord::Swap(block.entry()));
  return true;
}

void ForkCopy::CopyPageLocked(Region* from, uint64_t page, char* at, Region* to,
                              uint64_t to_page) {
  const PageWord word = from->map().Get(page);
  if (word.kind() == PageWord::Kind::kPoisoned) {
    to->map().Set(to_page, 0, kLost);
  }
  if (word.kind() != PageWord::Kind::kSwap) return;
  const char* const staged = StagedLocked(&shared_, from, page, word.entry());
  if (staged == nullptr) {
    shared_.swap.DupEntries(word.entry(), 1);
    shared_.counters.remote_pages.Add(1);
    to->map().Set(to_page, 0, word);
    return;
  }
  const OpResult copied = child_.space->CopyIn(at, staged, kPageBytes);
  const bool there = copied.ok() || copied.error == EEXIST;
  if (!there) to->map().Set(to_page, 0, kLost);
}

std::vector<AddressRange> ForkCopy::LostBy(
    const std::vector<MapEvent>& unclear) const {
  std::vector<AddressRange> known;
  std::vector<AddressRange> lost;
  std::for_each(unclear.rbegin(), unclear.rend(), [&](const MapEvent& change) {
    const bool moved = IsMove(change);
    if (moved && HasAfter(change, known)) return known.push_back(To(change));
    lost.push_back(From(change));
    if (moved) lost.push_back(To(change));
  });
  // What is known is so whatever else was there before: the parent has it so.
  for (const AddressRange& range : known) lost = Without(lost, range);
  return lost;
}

bool ForkCopy::HasAfter(const MapEvent& move,
                        const std::vector<AddressRange>& known) const {
  UffdProcess& uffd = child_.uffd();
  const auto bytes = static_cast<size_t>(move.end - move.start);
  const bool left =
      !uffd.IsRegistered(move.start, bytes) ||
      std::any_of(known.begin(), known.end(), [&](const AddressRange& range) {
        return range.first <= move.start && move.end <= range.second;
      });
  const auto [start, end] = To(move);
  // The parent's may have gone on since.
  uint64_t pages = 0;
  for (const auto& piece : parent_.regions.PiecesIn(start, end)) {
    pages += piece.pages();
  }
  return left && pages * kPageBytes == bytes &&
         uffd.IsRegistered(start, bytes) && uffd.Settled(start, bytes);
}

void ForkCopy::Lose(char* start, char* end) {
  UffdProcess& uffd = child_.uffd();
  while (start < end) {
    // So little that each hole is found.
    char* const next =
        start + std::min<size_t>(kPmdBytes, static_cast<size_t>(end - start));
    const auto bytes = static_cast<size_t>(next - start);
    std::vector<AddressRange> holes = uffd.NotRegistered(start, bytes);
    // A child that runs (a raw clone's) changes them.
    if (!uffd.Settled(start, bytes)) holes.clear();
    for (const auto& part : Without({start, next, nullptr, 0}, holes)) {
      LoseMapped(part.start, part.end);
    }
    start = next;
  }
}

void ForkCopy::LoseMapped(char* start, char* end) {
  const auto lose = [&](const RegionTable::Piece& piece) {
    Forget(&shared_).Range(piece.region.get(), piece.page, piece.pages(),
                           kLost);
  };
  const auto lose_gap = [&](char* from, char* to) {
    while (from < to) {
      char* const next = std::min(to, ProcessMm::WindowEnd(from));
      lose(child_.AddPiece(from, next));
      from = next;
    }
  };
  const auto known = child_.regions.PiecesIn(start, end);
  for (const auto& piece : known) lose(piece);
  char* at = start;
  for (const auto& piece : known) {
    lose_gap(at, piece.start);
    at = piece.end;
  }
  lose_gap(at, end);
}

}  // namespace farswap::pager

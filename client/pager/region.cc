#include "client/pager/region.h"

#include <algorithm>
#include <iterator>
#include <mutex>
#include <utility>

namespace farswap::pager {

bool Region::IsWhole(uint64_t page, int order) const {
  if (!moved_.load(std::memory_order_acquire)) return true;
  uint64_t run = PagesOf(order);
  const auto at = reinterpret_cast<uint64_t>(AddressOfMoved(page, &run));
  if (run < PagesOf(order)) return false;
  return order < kPmdOrder || at % kPmdBytes == 0;
}

char* Region::AddressOfMoved(uint64_t page, uint64_t* run) const {
  std::shared_lock lock(extents_mu_);
  const auto after =
      std::partition_point(extents_.begin(), extents_.end(),
                           [&](const Extent& e) { return e.page <= page; });
  const Extent& extent = *(after - 1);
  if (after != extents_.end()) *run = std::min(*run, after->page - page);
  return extent.at + (page - extent.page) * kPageBytes;
}

bool Region::IsHome(uint64_t page, uint64_t pages) const {
  if (!moved_.load(std::memory_order_acquire)) return true;
  for (const uint64_t end = page + pages; page < end;) {
    uint64_t run = end - page;
    if (AddressOfMoved(page, &run) != HomeOf(page)) return false;
    page += run;
  }
  return true;
}

size_t Region::CutAt(uint64_t page) {
  const auto at =
      std::partition_point(extents_.begin(), extents_.end(),
                           [&](const Extent& e) { return e.page < page; });
  const auto index = static_cast<size_t>(at - extents_.begin());
  if (at != extents_.end() && at->page == page) return index;
  const Extent& before = *(at - 1);
  extents_.insert(at, {page, before.at + (page - before.page) * kPageBytes});
  return index;
}

void Region::Move(uint64_t page, uint64_t pages, char* to) {
  std::unique_lock lock(extents_mu_);
  if (extents_.empty()) extents_.push_back({0, address_});
  // What follows stays where it is.
  if (page + pages < bytes_ / kPageBytes) CutAt(page + pages);
  extents_[CutAt(page)].at = to;
  // Those that are in a row with what is before them are one with it.
  const auto in_row = [](const Extent& a, const Extent& b) {
    return a.at + (b.page - a.page) * kPageBytes == b.at;
  };
  extents_.erase(std::unique(extents_.begin(), extents_.end(), in_row),
                 extents_.end());
  moved_.store(true, std::memory_order_release);
}

std::shared_ptr<Region> RegionTable::AddEmpty(std::unique_ptr<Region> region) {
  RegionGraves* const graves = &graves_;
  std::shared_ptr<Region> shared(region.release(),
                                 [graves](Region* r) { graves->Bury(r); });
  std::unique_lock lock(mu_);
  regions_.push_back(shared);
  return shared;
}

Region* RegionTable::Add(std::unique_ptr<Region> region) {
  const std::shared_ptr<Region> added = AddEmpty(std::move(region));
  char* const start = added->address();
  Place({start, start + added->length(), added, 0});
  return added.get();
}

std::shared_ptr<Region> RegionTable::Remove(const Region* region,
                                            std::vector<Piece>* pieces) {
  std::unique_lock lock(mu_);
  const auto it =
      std::find_if(regions_.begin(), regions_.end(),
                   [&](const auto& r) { return r.get() == region; });
  if (it == regions_.end()) return nullptr;
  std::shared_ptr<Region> removed = std::move(*it);
  regions_.erase(it);
  for (const Piece& piece : pieces_) {
    if (piece.region == removed) pieces->push_back(piece);
  }
  std::erase_if(pieces_, [&](const Piece& p) { return p.region == removed; });
  return removed;
}

std::shared_ptr<Region> RegionTable::Hold(const Region* region) const {
  std::shared_lock lock(mu_);
  for (const std::shared_ptr<Region>& r : regions_) {
    if (r.get() == region) return r;
  }
  return nullptr;
}

const RegionTable::Piece* RegionTable::FindPiece(const char* at) const {
  const auto after =
      std::partition_point(pieces_.begin(), pieces_.end(),
                           [&](const Piece& p) { return p.start <= at; });
  if (after == pieces_.begin()) return nullptr;
  const Piece& piece = *(after - 1);
  return at < piece.end ? &piece : nullptr;
}

std::shared_ptr<Region> RegionTable::Find(const char* at,
                                          uint64_t* page) const {
  std::shared_lock lock(mu_);
  const Piece* const piece = FindPiece(at);
  if (piece == nullptr) return nullptr;
  *page = piece->page + static_cast<uint64_t>(at - piece->start) / kPageBytes;
  return piece->region;
}

bool RegionTable::IfNobodys(const char* at,
                            absl::FunctionRef<void()> act) const {
  std::shared_lock lock(mu_);
  if (FindPiece(at) != nullptr) return false;
  act();
  return true;
}

std::vector<RegionTable::Piece> RegionTable::PiecesIn(char* start,
                                                      char* end) const {
  std::vector<Piece> found;
  std::shared_lock lock(mu_);
  for (const Piece& piece : pieces_) {
    if (piece.start >= end || piece.end <= start) continue;
    found.push_back(piece.In(start, end));
  }
  return found;
}

std::vector<RegionTable::Piece> RegionTable::All() const {
  std::shared_lock lock(mu_);
  return pieces_;
}

std::vector<std::shared_ptr<Region>> RegionTable::Regions() const {
  std::shared_lock lock(mu_);
  return regions_;
}

bool RegionTable::empty() const {
  std::shared_lock lock(mu_);
  return pieces_.empty();
}

std::vector<RegionTable::Piece> RegionTable::PiecesOf(
    const Region* region) const {
  std::vector<Piece> found;
  std::shared_lock lock(mu_);
  std::copy_if(pieces_.begin(), pieces_.end(), std::back_inserter(found),
               [&](const Piece& p) { return p.region.get() == region; });
  return found;
}

void RegionTable::Carve(char* start, char* end) {
  std::vector<Piece> kept;
  std::unique_lock lock(mu_);
  for (const Piece& piece : pieces_) {
    if (piece.start >= end || piece.end <= start) {
      kept.push_back(piece);
      continue;
    }
    if (piece.start < start) kept.push_back(piece.In(piece.start, start));
    if (piece.end > end) kept.push_back(piece.In(end, piece.end));
  }
  pieces_ = std::move(kept);
}

void RegionTable::Place(Piece piece) {
  std::unique_lock lock(mu_);
  const auto it = std::find(regions_.begin(), regions_.end(), piece.region);
  if (it == regions_.end()) return;
  auto at = std::partition_point(
      pieces_.begin(), pieces_.end(),
      [&](const Piece& p) { return p.start < piece.start; });
  // One that goes on where another ends is one with it: there are as many as
  // there are gaps.
  if (at != pieces_.end() && piece.IsBefore(*at)) {
    piece.end = at->end;
    at = pieces_.erase(at);
  }
  if (at != pieces_.begin() && (at - 1)->IsBefore(piece)) {
    (at - 1)->end = piece.end;
  } else {
    pieces_.insert(at, std::move(piece));
  }
}

// What of the piece is in none of the ranges.
std::vector<RegionTable::Piece> Without(
    const RegionTable::Piece& piece, const std::vector<AddressRange>& ranges) {
  std::vector<RegionTable::Piece> rest = {piece};
  for (const auto& [start, end] : ranges) {
    std::vector<RegionTable::Piece> left;
    for (const RegionTable::Piece& p : rest) {
      if (p.start < std::min(start, p.end)) {
        left.push_back(p.In(p.start, std::min(start, p.end)));
      }
      if (std::max(end, p.start) < p.end) {
        left.push_back(p.In(std::max(end, p.start), p.end));
      }
    }
    rest = std::move(left);
  }
  return rest;
}

bool RegionTable::HasGroup(const core::MemoryGroup* group) const {
  std::shared_lock lock(mu_);
  return std::any_of(regions_.begin(), regions_.end(),
                     [&](const auto& r) { return r->group() == group; });
}

void RegionGraves::Bury(Region* region) {
  MutexLock lock(&mu_);
  dead_.emplace_back(region);
}

void RegionGraves::Reap(Grace* grace) {
  if (!grace->Drained()) return;
  draining_.clear();
  {
    MutexLock lock(&mu_);
    draining_.swap(dead_);
  }
  grace->Flip();
}

}  // namespace farswap::pager

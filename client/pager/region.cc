#include "client/pager/region.h"

#include <algorithm>
#include <mutex>
#include <utility>

namespace farswap::pager {

RegionTable::~RegionTable() {
  // Each region's deleter uses dead_, which is destroyed first.
  pieces_.clear();
  regions_.clear();
}

Region* RegionTable::Add(std::unique_ptr<Region> region) {
  char* const start = region->address();
  char* const end = start + region->length();
  const std::shared_ptr<Region> shared(region.release(), [this](Region* r) {
    MutexLock lock(&dead_mu_);
    dead_.emplace_back(r);
  });
  std::unique_lock lock(mu_);
  const auto at =
      std::partition_point(pieces_.begin(), pieces_.end(),
                           [&](const Piece& p) { return p.start < start; });
  pieces_.insert(at, {start, end, shared});
  regions_.push_back(shared);
  return shared.get();
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

std::shared_ptr<Region> RegionTable::Find(const char* at) const {
  std::shared_lock lock(mu_);
  const auto after =
      std::partition_point(pieces_.begin(), pieces_.end(),
                           [&](const Piece& p) { return p.start <= at; });
  if (after == pieces_.begin()) return nullptr;
  const Piece& piece = *(after - 1);
  return at < piece.end ? piece.region : nullptr;
}

std::vector<RegionTable::Piece> RegionTable::PiecesIn(char* start,
                                                      char* end) const {
  std::vector<Piece> found;
  std::shared_lock lock(mu_);
  for (const Piece& piece : pieces_) {
    if (piece.start >= end || piece.end <= start) continue;
    found.push_back(
        {std::max(piece.start, start), std::min(piece.end, end), piece.region});
  }
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
    if (piece.start < start) kept.push_back({piece.start, start, piece.region});
    if (piece.end > end) kept.push_back({end, piece.end, piece.region});
  }
  pieces_ = std::move(kept);
}

bool RegionTable::HasGroup(const core::MemoryGroup* group) const {
  std::shared_lock lock(mu_);
  return std::any_of(regions_.begin(), regions_.end(),
                     [&](const auto& r) { return r->group() == group; });
}

void RegionTable::Reap(Grace* grace) {
  if (!grace->Drained()) return;
  draining_.clear();
  {
    MutexLock lock(&dead_mu_);
    draining_.swap(dead_);
  }
  grace->Flip();
}

}  // namespace farswap::pager

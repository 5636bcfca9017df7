#include "client/pager/region.h"

#include <algorithm>
#include <mutex>
#include <utility>

namespace farswap::pager {
namespace {

bool ByAddress(const std::shared_ptr<Region>& region, const char* at) {
  return region->address() <= at;
}

}  // namespace

RegionTable::~RegionTable() {
  // Each region's deleter uses dead_, which is destroyed first.
  regions_.clear();
}

Region* RegionTable::Add(std::unique_ptr<Region> region) {
  const std::shared_ptr<Region> shared(region.release(), [this](Region* r) {
    MutexLock lock(&dead_mu_);
    dead_.emplace_back(r);
  });
  std::unique_lock lock(mu_);
  const auto at = std::partition_point(
      regions_.begin(), regions_.end(),
      [&](const auto& r) { return ByAddress(r, shared->address()); });
  regions_.insert(at, shared);
  return shared.get();
}

std::shared_ptr<Region> RegionTable::Remove(const Region* region) {
  std::unique_lock lock(mu_);
  const auto it =
      std::find_if(regions_.begin(), regions_.end(),
                   [&](const auto& r) { return r.get() == region; });
  if (it == regions_.end()) return nullptr;
  std::shared_ptr<Region> removed = std::move(*it);
  regions_.erase(it);
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
      std::partition_point(regions_.begin(), regions_.end(),
                           [&](const auto& r) { return ByAddress(r, at); });
  if (after == regions_.begin()) return nullptr;
  const std::shared_ptr<Region>& region = *(after - 1);
  return region->Holds(at) ? region : nullptr;
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

bool RegionTable::empty() const {
  std::shared_lock lock(mu_);
  return regions_.empty();
}

}  // namespace farswap::pager

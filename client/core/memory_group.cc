#include "client/core/memory_group.h"

#include <algorithm>
#include <utility>

#include "common/check.h"
#include "common/units.h"

namespace farswap::core {
namespace {

// How much is kept free. A fault brings at most one PMD folio, 512 pages, and
// must find them free without waiting: the floor. Above it a 64th of the
// limit lets reclaim gather victims in runs. From being woken to having taken
// out its first PMD folio, reclaim needs about 1 ms; faults that fill 1.6 GB/s
// use up 400 pages meanwhile, so 8192 pages, 32 MiB, are enough at any limit.
constexpr uint64_t kLowFloorPages = kPagesPerPmd;
constexpr uint64_t kLowCeilingPages = 8192;
constexpr uint64_t kLowShare = 64;

}  // namespace

MemoryGroup::MemoryGroup(FolioArena* folios, uint64_t limit_pages,
                         std::shared_ptr<MemoryGroup> parent)
    : parent_(std::move(parent)),
      depth_(parent_ != nullptr ? parent_->depth_ + 1 : 1),
      memory_(limit_pages, parent_ != nullptr ? &parent_->memory_ : nullptr),
      swap_(kNoLimit, parent_ != nullptr ? &parent_->swap_ : nullptr),
      kept_(limit_pages / Lru::kKeptShare,
            parent_ != nullptr ? &parent_->kept_ : nullptr),
      pins_(PinLimit(limit_pages),
            parent_ != nullptr ? &parent_->pins_ : nullptr),
      lru_(folios) {
  FARSWAP_CHECK(depth_ <= kMaxDepth);
  if (parent_ == nullptr) return;
  MutexLock lock(&parent_->children_mu_);
  parent_->children_.push_back(this);
}

MemoryGroup::~MemoryGroup() {
  if (parent_ == nullptr) return;
  MutexLock lock(&parent_->children_mu_);
  std::erase(parent_->children_, this);
}

bool MemoryGroup::IsWithin(const MemoryGroup* group) const {
  const MemoryGroup* at = this;
  while (at != nullptr && at != group) at = at->parent();
  return at == group;
}

// --- charge ---

MemoryGroup* MemoryGroup::GroupOf(const PageCounter* counter,
                                  PageCounter MemoryGroup::*member) {
  MemoryGroup* group = this;
  while (&(group->*member) != counter) group = group->parent();
  return group;
}

bool MemoryGroup::TryCharge(uint64_t pages, MemoryGroup** over) {
  const PageCounter* const refused = memory_.TryCharge(pages);
  if (refused == nullptr) return true;
  if (over != nullptr) *over = GroupOf(refused, &MemoryGroup::memory_);
  return false;
}

void MemoryGroup::SetLimit(uint64_t limit_pages) {
  memory_.SetLimit(limit_pages);
  kept_.SetLimit(limit_pages / Lru::kKeptShare);
  pins_.SetLimit(PinLimit(limit_pages));
}

SwapCharge MemoryGroup::TryChargeSwap(uint64_t pages, MemoryGroup** over) {
  const PageCounter* const refused = swap_.TryCharge(pages);
  if (refused == nullptr) return SwapCharge::kCharged;
  if (over != nullptr) *over = GroupOf(refused, &MemoryGroup::swap_);
  return SwapCharge::kOverLimit;
}

uint64_t MemoryGroup::SwapRoom() const {
  uint64_t room = kNoLimit;
  for (const MemoryGroup* at = this; at != nullptr; at = at->parent()) {
    const uint64_t limit = at->swap_limit();
    room = std::min(room, limit - std::min(limit, at->swap_usage()));
  }
  return room;
}

const MemoryGroup* MemoryGroup::OverSwapLimit(uint64_t pages) const {
  const MemoryGroup* at = this;
  while (at != nullptr && at->swap_usage() + pages <= at->swap_limit()) {
    at = at->parent();
  }
  return at;
}

bool MemoryGroup::IsSwapFull() const {
  for (const MemoryGroup* at = this; at != nullptr; at = at->parent()) {
    if (2 * at->swap_usage() > at->swap_limit()) return true;
  }
  return false;
}

// --- when to reclaim ---

uint64_t MemoryGroup::low() const {
  const uint64_t share =
      std::clamp(limit() / kLowShare, kLowFloorPages, kLowCeilingPages);
  return std::min(share, limit() / 4);
}

uint64_t MemoryGroup::high() const { return std::min(2 * low(), limit() / 2); }

uint64_t MemoryGroup::ReclaimTarget() const {
  const uint64_t limit = this->limit();
  const uint64_t usage = this->usage();
  // Signed thinking without signed numbers: free + low() against limit.
  if (usage + low() <= limit) return 0;
  return usage + high() - limit;
}

MemoryGroup* MemoryGroup::NeedsReclaim() {
  MemoryGroup* group = this;
  while (group != nullptr && group->ReclaimTarget() == 0) {
    group = group->parent();
  }
  return group;
}

// --- LRU ---

void MemoryGroup::LruDel(Folio* folio) {
  const LruList was = lru_.Del(folio);
  if (was == LruList::kKept) kept_.Uncharge(PagesOf(folio->order));
  if (was == LruList::kPinned) pins_.Uncharge(PagesOf(folio->order));
}

bool MemoryGroup::LruKeep(Folio* folio, MemoryGroup** over) {
  // Counted first: whoever takes it off the list discounts it.
  const PageCounter* const refused = kept_.TryCharge(PagesOf(folio->order));
  if (refused == nullptr) {
    lru_.Keep(folio);
  } else if (over != nullptr) {
    *over = GroupOf(refused, &MemoryGroup::kept_);
  }
  return refused == nullptr;
}

void MemoryGroup::LruKeepAgain(Folio* folio) {
  LruDel(folio);
  kept_.Charge(PagesOf(folio->order));
  lru_.Keep(folio);
}

uint64_t MemoryGroup::LruIsolate(uint64_t pages, std::vector<Folio*>* victims) {
  uint64_t taken = 0;
  while (taken < pages) {
    const uint64_t more = IsolateOne(Kind::kMapped, victims);
    if (more == 0) break;
    taken += more;
  }
  return taken;
}

uint64_t MemoryGroup::LruIsolateKept(uint64_t pages,
                                     std::vector<Folio*>* victims) {
  uint64_t taken = 0;
  while (taken < pages) {
    const uint64_t more = IsolateOne(Kind::kKept, victims);
    if (more == 0) break;
    taken += more;
  }
  return taken;
}

uint64_t MemoryGroup::LruIsolateKeptOf(const void* owner,
                                       std::vector<Folio*>* victims) {
  const uint64_t pages = lru_.IsolateKeptOf(owner, victims);
  if (pages > 0) kept_.Uncharge(pages);
  return pages;
}

uint64_t MemoryGroup::IsolateOwn(Kind kind, std::vector<Folio*>* victims) {
  if (kind == Kind::kMapped) return lru_.Isolate(1, victims);
  const uint64_t pages = lru_.IsolateKept(1, victims);
  if (pages > 0) kept_.Uncharge(pages);
  return pages;
}

std::vector<MemoryGroup::Share> MemoryGroup::SharesLocked(Kind kind) {
  const Lru::Stats own = lru_.stats();
  const bool mapped = kind == Kind::kMapped;
  std::vector<Share> shares;
  shares.reserve(children_.size() + 1);
  const uint64_t own_pages =
      mapped ? own.inactive_pages + own.active_pages : own.kept_pages;
  shares.push_back({this, true, static_cast<int64_t>(own_pages), &own_credit_});
  for (MemoryGroup* child : children_) {
    const uint64_t pages = mapped ? child->usage() : child->kept();
    shares.push_back(
        {child, false, static_cast<int64_t>(pages), &child->credit_});
  }
  std::erase_if(shares, [](const Share& share) { return share.weight == 0; });
  return shares;
}

uint64_t MemoryGroup::IsolateOne(Kind kind, std::vector<Folio*>* victims) {
  MutexLock lock(&children_mu_);
  if (children_.empty()) return IsolateOwn(kind, victims);
  std::vector<Share> shares = SharesLocked(kind);
  // Each is owed victims in proportion to its pages: a weighted round robin,
  // in which a PMD folio counts as the 512 pages that it is.
  std::sort(shares.begin(), shares.end(), [](const Share& a, const Share& b) {
    return *a.credit + a.weight > *b.credit + b.weight;
  });
  for (const Share& from : shares) {
    const uint64_t taken = from.own ? from.group->IsolateOwn(kind, victims)
                                    : from.group->IsolateOne(kind, victims);
    if (taken == 0) {
      *from.credit = 0;  // What gives nothing keeps no claim.
      continue;
    }
    const auto pages = static_cast<int64_t>(taken);
    for (const Share& share : shares) {
      *share.credit += share.weight * pages;
      *from.credit -= share.weight * pages;
    }
    return taken;
  }
  return 0;
}

MemoryGroupStats MemoryGroup::Stats() const {
  MemoryGroupStats stats;
  stats.limit_pages = limit();
  stats.usage_pages = usage();
  stats.peak_pages = memory_.peak();
  stats.swap_limit_pages = swap_limit();
  stats.swap_usage_pages = swap_usage();
  stats.swap_peak_pages = swap_.peak();
  const Lru::Stats lru = lru_.stats();
  stats.inactive_pages = lru.inactive_pages;
  stats.active_pages = lru.active_pages;
  stats.kept_pages = lru.kept_pages;
  stats.workingset_refault = lru.refaults;
  stats.workingset_activate = lru.activations;
  stats.workingset_restore = lru.restores;
  return stats;
}

void MemoryGroup::CheckInvariants() const {
  FARSWAP_CHECK(usage() <= memory_.peak());
  FARSWAP_CHECK(swap_usage() <= swap_.peak());
  lru_.CheckInvariants(this);
  uint64_t usage_below = 0;
  uint64_t swap_below = 0;
  uint64_t kept = lru_.stats().kept_pages;
  MutexLock lock(&children_mu_);
  for (const MemoryGroup* child : children_) {
    child->CheckInvariants();
    usage_below += child->usage();
    swap_below += child->swap_usage();
    kept += child->kept();
  }
  FARSWAP_CHECK(usage_below <= usage());
  FARSWAP_CHECK(swap_below <= swap_usage());
  FARSWAP_CHECK(kept == this->kept());
}

}  // namespace farswap::core

// MemoryGroup: folios that are not to be taken out.
#include <algorithm>

#include "client/core/memory_group.h"
#include "common/units.h"

namespace farswap::core {
namespace {

// What of a limit must not be pinned: twice what background reclaim wants to
// be free (high() is at most a 32nd, between 4 MiB and 64 MiB), so that it is
// not for ever at work, and the rest of the group has something to live in.
constexpr uint64_t kSpareFloorPages = 4 * kPagesPerPmd;
constexpr uint64_t kSpareCeilingPages = 32768;
constexpr uint64_t kSpareShare = 16;

}  // namespace

uint64_t MemoryGroup::PinLimit(uint64_t limit_pages) {
  if (limit_pages == kNoLimit) return kNoLimit;
  const uint64_t spare = std::clamp(limit_pages / kSpareShare, kSpareFloorPages,
                                    kSpareCeilingPages);
  return limit_pages - std::min(spare, limit_pages);
}

bool MemoryGroup::TrySetLimit(uint64_t limit_pages) {
  const uint64_t before = limit();
  // Who pins meanwhile is held to the lower one.
  pins_.SetLimit(PinLimit(std::min(before, limit_pages)));
  if (pins_.usage() > PinLimit(limit_pages)) {
    pins_.SetLimit(PinLimit(before));
    return false;
  }
  SetLimit(limit_pages);
  return true;
}

bool MemoryGroup::CanPin(uint64_t pages) const {
  for (const MemoryGroup* group = this; group != nullptr;
       group = group->parent()) {
    const uint64_t limit = group->pins_.limit();
    const uint64_t usage = group->pins_.usage();
    if (usage > limit || pages > limit - usage) return false;
  }
  return true;
}

MemoryGroup::Pin MemoryGroup::LruPin(Folio* folio) {
  const uint64_t pages = PagesOf(folio->order);
  // Counted first: whoever unpins it discounts it.
  if (pins_.TryCharge(pages) != nullptr) return Pin::kNoRoom;
  if (lru_.Pin(folio)) return Pin::kDone;
  pins_.Uncharge(pages);
  return Pin::kBusy;
}

bool MemoryGroup::LruUnpin(Folio* folio) {
  if (!lru_.Unpin(folio)) return false;
  pins_.Uncharge(PagesOf(folio->order));
  return true;
}

}  // namespace farswap::core

#include "tests/client/core/naive_swap_space.h"

#include <algorithm>
#include <iterator>

#include "client/core/swap_table.h"
#include "common/units.h"
#include "gtest/gtest.h"

namespace farswap::core {

void NaiveSwapSpace::Alloc(SwapEntry entry, const Folio* folio) {
  ASSERT_EQ(entry, entry.AlignedTo(folio->order));
  for (uint32_t i = 0; i < PagesOf(folio->order); ++i) {
    const uint64_t raw = entry.raw() + i;
    ASSERT_EQ(slots_.count(raw), 0u) << "slot given out twice: " << raw;
    Slot& slot = slots_[raw];
    slot.folio = folio;
    slot.part = raw;
  }
}

void NaiveSwapSpace::Dup(SwapEntry entry, uint32_t pages) {
  for (uint32_t i = 0; i < pages; ++i) ++slots_.at(entry.raw() + i).owners;
}

void NaiveSwapSpace::Put(SwapEntry entry, uint32_t pages) {
  for (uint32_t i = 0; i < pages; ++i) {
    Slot& slot = slots_.at(entry.raw() + i);
    --slot.owners;
    if (slot.folio == nullptr) FreeUnowned(slot.part, slot.part_pages);
  }
}

void NaiveSwapSpace::PutOwned(const Folio* folio, SwapEntry entry) {
  for (uint32_t i = 0; i < PagesOf(folio->order); ++i) {
    Slot& slot = slots_.at(entry.raw() + i);
    if (slot.owners != 0) --slot.owners;
  }
}

bool NaiveSwapSpace::Free(const Folio* folio, SwapEntry entry) {
  const uint64_t end = entry.raw() + PagesOf(folio->order);
  for (uint64_t raw = entry.raw(); raw < end; ++raw) {
    if (slots_.at(raw).owners != 0) return false;
  }
  slots_.erase(slots_.lower_bound(entry.raw()), slots_.lower_bound(end));
  return true;
}

void NaiveSwapSpace::Del(const Folio* folio, SwapEntry entry, uint32_t age) {
  const uint64_t end = entry.raw() + PagesOf(folio->order);
  for (uint64_t raw = entry.raw(); raw < end; ++raw) {
    slots_.at(raw).folio = nullptr;
    slots_.at(raw).age = age;
  }
  for (uint64_t raw = entry.raw(); raw < end;) {
    const uint64_t pages = slots_.at(raw).part_pages;
    FreeUnowned(raw, pages);
    raw += pages;
  }
}

void NaiveSwapSpace::FreeUnowned(uint64_t part, uint64_t pages) {
  for (uint64_t raw = part; raw < part + pages; ++raw) {
    if (slots_.at(raw).owners != 0) return;
  }
  slots_.erase(slots_.lower_bound(part), slots_.lower_bound(part + pages));
}

void NaiveSwapSpace::SetSums(SwapEntry entry, int order, bool zero,
                             uint32_t first_sum) {
  const uint64_t part =
      zero ? 1 : std::min<uint64_t>(PagesOf(order), kPagesPerPart);
  for (uint32_t i = 0; i < PagesOf(order); ++i) {
    Slot& slot = slots_.at(entry.raw() + i);
    slot.zero = zero;
    slot.sum = zero ? 0 : first_sum + i / kPagesPerPart;
    slot.part = entry.raw() + i / part * part;
    slot.part_pages = part;
  }
}

bool NaiveSwapSpace::IsFolioShaped(uint64_t base, int order) const {
  const uint64_t part = std::min<uint64_t>(PagesOf(order), kPagesPerPart);
  for (uint64_t raw = base; raw < base + PagesOf(order); ++raw) {
    if (slots_.at(raw).part_pages != part) return false;
  }
  return true;
}

NaiveSwapSpace::Expected NaiveSwapSpace::Expect(SwapEntry entry,
                                                uint32_t orders,
                                                uint32_t failing) const {
  Expected expected;
  const Slot* target = Find(entry);
  for (int order = kMaxOrder; order >= 0; --order) {
    if ((orders >> order & 1) == 0) continue;
    if (target == nullptr || (!target->folio && target->owners == 0)) {
      expected.error = CacheError::kNoEnt;
      return expected;
    }
    if (target->folio != nullptr) {
      expected.error = CacheError::kExist;
      return expected;
    }
    const uint64_t base = entry.AlignedTo(order).raw();
    bool fits = true;
    for (uint64_t raw = base; fits && raw < base + PagesOf(order); ++raw) {
      const Slot* slot = Find(SwapEntry::FromRaw(raw));
      fits = slot && !slot->folio && slot->zero == target->zero;
    }
    if (!fits || (!target->zero && !IsFolioShaped(base, order))) {
      expected.fallbacks.AddConflict(order);
    } else if ((failing >> order & 1) != 0) {
      expected.fallbacks.AddAlloc(order);
    } else {
      expected.order = order;
      return expected;
    }
  }
  expected.error =
      expected.fallbacks.alloc != 0 ? CacheError::kNoMem : CacheError::kBusy;
  return expected;
}

void NaiveSwapSpace::Attach(SwapEntry entry, const Folio* folio) {
  for (uint32_t i = 0; i < PagesOf(folio->order); ++i) {
    slots_.at(entry.raw() + i).folio = folio;
  }
}

const NaiveSwapSpace::Slot* NaiveSwapSpace::Find(SwapEntry entry) const {
  const auto it = slots_.find(entry.raw());
  return it == slots_.end() ? nullptr : &it->second;
}

std::optional<SwapEntry> NaiveSwapSpace::Near(SwapEntry entry) const {
  if (slots_.empty()) return std::nullopt;
  auto it = slots_.lower_bound(entry.raw());
  if (it == slots_.end()) it = slots_.begin();
  return SwapEntry::FromRaw(it->first);
}

bool NaiveSwapSpace::ClusterInUse(ClusterIndex cluster) const {
  const auto it = slots_.lower_bound(SwapEntry(cluster, 0).raw());
  return it != slots_.end() && it->first < SwapEntry(cluster + 1, 0).raw();
}

bool NaiveSwapSpace::IsFull(ClusterIndex cluster) const {
  const auto begin = slots_.lower_bound(SwapEntry(cluster, 0).raw());
  const auto end = slots_.lower_bound(SwapEntry(cluster + 1, 0).raw());
  return std::distance(begin, end) == kSlotsPerCluster;
}

void NaiveSwapSpace::ExpectWord(SwapEntry entry, const SwapSpace& space) const {
  const SwapWord word = space.WordAt(entry);
  const Slot* slot = Find(entry);
  if (slot == nullptr) {
    ASSERT_TRUE(word.is_null()) << entry.raw();
    return;
  }
  ASSERT_EQ(word.count(), std::min(slot->owners, kCountOverflow));
  ASSERT_EQ(word.zero(), slot->zero);
  ASSERT_EQ(word.tail(), slot->part != entry.raw());
  ASSERT_EQ(word.sum(), word.tail() ? 0 : slot->sum);
  if (slot->folio == nullptr) {
    ASSERT_TRUE(word.is_shadow());
    ASSERT_EQ(word.age(), slot->age);
  } else {
    ASSERT_TRUE(word.is_cached());
    ASSERT_EQ(word.folio(), slot->folio->id);
  }
}

void NaiveSwapSpace::ExpectAll(const SwapSpace& space,
                               ClusterIndex clusters) const {
  for (ClusterIndex c = 0; c < clusters; ++c) {
    for (uint32_t i = 0; i < kSlotsPerCluster; ++i) {
      ExpectWord(SwapEntry(c, i), space);
    }
  }
  ASSERT_EQ(space.used_slots(), used());
}

}  // namespace farswap::core

#include "client/core/cluster_info.h"

#include <bit>

#include "common/check.h"

namespace farswap::core {

ClusterInfo::~ClusterInfo() {
  delete table_.load(std::memory_order_relaxed);
  delete overflow_;
}

// --- table ---

void ClusterInfo::Set(uint32_t slot, SwapWord word) {
  const auto unowned = [](SwapWord w) {
    return w.is_cached() && w.count() == 0;
  };
  const SwapWord old = Get(slot);
  FARSWAP_CHECK(old.type() != SwapWord::Type::kBad);
  used_ += !word.is_null() - !old.is_null();
  cached_only_ += unowned(word) - unowned(old);
  table_.load(std::memory_order_relaxed)
      ->words[slot]
      .store(word.raw(), std::memory_order_release);
}

size_t ClusterInfo::MakeTable() {
  if (has_table()) return 0;
  table_.store(new SwapTable, std::memory_order_release);
  return sizeof(SwapTable);
}

size_t ClusterInfo::FreeTable(absl::FunctionRef<bool()> is_read) {
  FARSWAP_CHECK(used_ == 0 && overflow_ == nullptr);
  // Sequentially consistent, as the look through the readers is: see
  // TableReaders.
  SwapTable* const table = table_.exchange(nullptr);
  if (table == nullptr) return 0;
  if (is_read()) {
    // Back again: its words are all Null, and so it reads the same.
    table_.store(table);
    return 0;
  }
  delete table;
  return sizeof(SwapTable);
}

bool ClusterInfo::has_table() const {
  return table_.load(std::memory_order_relaxed) != nullptr;
}

// --- owners ---

uint32_t ClusterInfo::Owners(uint32_t slot) const {
  const uint32_t count = Get(slot).count();
  return count == kCountOverflow ? overflow_->counts[slot] : count;
}

void ClusterInfo::SetOwners(uint32_t slot, uint32_t owners) {
  const bool inlined = owners <= kMaxInlineCount;
  if (!inlined || Get(slot).count() == kCountOverflow) {
    SetOverflow(slot, inlined ? 0 : owners);
  }
  Set(slot, Get(slot).WithCount(inlined ? owners : kCountOverflow));
}

void ClusterInfo::SetOverflow(uint32_t slot, uint32_t owners) {
  if (overflow_ == nullptr) overflow_ = new OverflowTable;
  uint32_t& count = overflow_->counts[slot];
  overflow_->used += (owners != 0) - (count != 0);
  count = owners;
  if (overflow_->used == 0) {
    delete overflow_;
    overflow_ = nullptr;
  }
}

void ClusterInfo::AddOwner(uint32_t slot) {
  const uint32_t owners = Owners(slot);
  FARSWAP_CHECK(owners != UINT32_MAX);
  SetOwners(slot, owners + 1);
}

void ClusterInfo::DropOwner(uint32_t slot) {
  const uint32_t owners = Owners(slot);
  FARSWAP_CHECK(owners != 0);
  SetOwners(slot, owners - 1);
  if (owners == 1 && Get(slot).is_shadow()) ReleasePart(View().PartOf(slot));
}

// --- ranges ---

int ClusterInfo::FindNull(uint32_t pages, uint32_t start) const {
  if (used_ + pages > kSlotsPerCluster) return -1;
  if (used_ == 0) return 0;
  const uint32_t first = start & ~(pages - 1) & (kSlotsPerCluster - 1);
  uint32_t slot = first;
  do {
    uint32_t n = 0;
    while (n < pages && Get(slot + n).is_null()) ++n;
    if (n == pages) return static_cast<int>(slot);
    slot = (slot + pages) & (kSlotsPerCluster - 1);
  } while (slot != first);
  return -1;
}

void ClusterInfo::Attach(uint32_t slot, uint32_t pages, FolioId folio) {
  for (uint32_t i = slot; i < slot + pages; ++i) {
    FARSWAP_CHECK(Get(i).is_null());
    Set(i, SwapWord::Attached(folio));
  }
}

void ClusterInfo::ToCached(uint32_t slot, uint32_t pages, FolioId folio) {
  for (uint32_t i = slot; i < slot + pages; ++i) {
    FARSWAP_CHECK(Get(i).is_shadow());
    Set(i, Get(i).ToCached(folio));
  }
}

void ClusterInfo::ToShadow(uint32_t slot, uint32_t pages, uint32_t age) {
  for (uint32_t i = slot; i < slot + pages; ++i) {
    FARSWAP_CHECK(Get(i).is_cached());
    Set(i, Get(i).ToShadow(age));
  }
  for (uint32_t i = slot; i < slot + pages;) {
    const SwapPart part = View().PartOf(i);
    ReleasePart(part);
    i += part.pages;
  }
}

void ClusterInfo::ToNull(uint32_t slot, uint32_t pages) {
  for (uint32_t i = slot; i < slot + pages; ++i) {
    FARSWAP_CHECK(Get(i).count() == 0);
    Set(i, SwapWord());
  }
}

// --- parts ---

void ClusterInfo::SetPart(uint32_t slot, uint32_t pages, uint32_t sum) {
  Set(slot, Get(slot).WithZero(false).WithSum(sum));
  for (uint32_t i = slot + 1; i < slot + pages; ++i) {
    Set(i, Get(i).WithZero(false).WithTail());
  }
}

void ClusterInfo::SetZero(uint32_t slot, uint32_t pages) {
  // Nothing is stored, so there is nothing to verify together: no T.
  for (uint32_t i = slot; i < slot + pages; ++i) {
    Set(i, Get(i).WithSum(0).WithZero(true));
  }
}

void ClusterInfo::ReleasePart(SwapPart part) {
  for (uint32_t i = part.head; i < part.head + part.pages; ++i) {
    if (Get(i).count() != 0) return;
  }
  ToNull(part.head, part.pages);
}

// --- invariants ---

void ClusterInfo::CheckInvariants() const {
  uint32_t used = 0;
  uint32_t cached_only = 0;
  uint32_t overflows = 0;
  for (uint32_t slot = 0; slot < kSlotsPerCluster; ++slot) {
    const SwapWord word = Get(slot);
    FARSWAP_CHECK(word.type() != SwapWord::Type::kNull || word.is_null());
    FARSWAP_CHECK(word.type() != SwapWord::Type::kBad);
    used += !word.is_null();
    cached_only += word.is_cached() && word.count() == 0;
    const bool overflow = word.count() == kCountOverflow;
    overflows += overflow;
    const uint32_t kept = overflow_ == nullptr ? 0 : overflow_->counts[slot];
    FARSWAP_CHECK(overflow ? kept >= kCountOverflow : kept == 0);
    FARSWAP_CHECK(!word.zero() || (word.sum() == 0 && !word.tail()));
    if (!word.tail()) CheckPart(View().PartOf(slot));
  }
  FARSWAP_CHECK(used == used_ && (used == 0 || has_table()));
  FARSWAP_CHECK(cached_only == cached_only_);
  FARSWAP_CHECK(overflows == (overflow_ == nullptr ? 0 : overflow_->used));
  FARSWAP_CHECK((overflow_ == nullptr) == (overflows == 0));
}

void ClusterInfo::CheckPart(SwapPart part) const {
  FARSWAP_CHECK(std::has_single_bit(part.pages));
  FARSWAP_CHECK(part.pages <= kPagesPerPart);
  FARSWAP_CHECK(part.head % part.pages == 0);
  const SwapWord head = Get(part.head);
  bool owned = false;
  for (uint32_t i = part.head; i < part.head + part.pages; ++i) {
    const SwapWord word = Get(i);
    FARSWAP_CHECK(word.type() == head.type());
    FARSWAP_CHECK(!word.is_cached() || word.folio() == head.folio());
    FARSWAP_CHECK(i == part.head || word.sum() == 0);
    owned |= word.count() != 0;
  }
  FARSWAP_CHECK(owned || !head.is_shadow());
}

}  // namespace farswap::core

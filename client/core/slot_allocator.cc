#include "client/core/slot_allocator.h"

#include <algorithm>

#include "client/core/thread_number.h"
#include "common/check.h"

namespace farswap::core {
namespace {

constexpr size_t kAll = SIZE_MAX;

bool Usable(const ClusterInfo& cluster, int order)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(cluster.mu) {
  switch (cluster.state) {
    case ClusterState::kFree:
      return true;
    case ClusterState::kNonfull:
    case ClusterState::kFrag:
      return order == 0 || cluster.order == order;
    default:
      return false;
  }
}

}  // namespace

std::optional<SwapEntry> SlotAllocator::Allocate(int order, FolioId folio) {
  FARSWAP_CHECK(order >= 0 && order <= kMaxOrder);
  // A PMD folio fills its cluster: there is no such thing as another one in
  // a cluster in use.
  if (order == kPmdOrder) {
    return TryList(ClusterState::kFree, 0, kAll, order, folio);
  }
  auto entry = TryHint(order, folio);
  if (!entry)
    entry = TryList(ClusterState::kNonfull, order, kAll, order, folio);
  // More than one free cluster is tried only if other threads took the first.
  if (!entry) entry = TryList(ClusterState::kFree, 0, kAll, order, folio);
  if (!entry) {
    const size_t enough = order == 0 ? kAll : 1;
    entry = TryList(ClusterState::kFrag, order, enough, order, folio);
  }
  if (!entry && order == 0) entry = Steal(folio);
  return entry;
}

std::optional<SwapEntry> SlotAllocator::Steal(FolioId folio) {
  for (int from = 1; from <= kMaxOrder; ++from) {
    auto entry = TryList(ClusterState::kFrag, from, kAll, 0, folio);
    if (!entry) entry = TryList(ClusterState::kNonfull, from, kAll, 0, folio);
    if (entry) return entry;
  }
  return std::nullopt;
}

std::atomic<uint64_t>& SlotAllocator::HintOf(int order) {
  return hints_[ThreadNumber() % kHintShards].next[order];
}

std::optional<SwapEntry> SlotAllocator::TryHint(int order, FolioId folio) {
  const uint64_t hint = HintOf(order).load(std::memory_order_relaxed);
  if (hint == 0) return std::nullopt;
  const SwapEntry start = SwapEntry::FromRaw(hint - 1);
  return TryCluster(start.cluster(), start.slot(), order, folio);
}

std::optional<SwapEntry> SlotAllocator::TryList(ClusterState state,
                                                int list_order, size_t max,
                                                int order, FolioId folio) {
  const size_t tries = std::min(max, lists_->Length(state, list_order));
  for (size_t i = 0; i < tries; ++i) {
    const auto index = lists_->Next(state, list_order);
    if (!index) break;
    if (auto entry = TryCluster(*index, 0, order, folio)) return entry;
  }
  return std::nullopt;
}

std::optional<SwapEntry> SlotAllocator::TryCluster(ClusterIndex index,
                                                   uint32_t start, int order,
                                                   FolioId folio) {
  ClusterInfo& cluster = lists_->At(index);
  const uint32_t pages = PagesOf(order);
  MutexLock lock(&cluster.mu);
  if (!Usable(cluster, order)) return std::nullopt;
  const int served =
      cluster.state == ClusterState::kFree ? order : cluster.order;
  const int slot = cluster.FindNull(pages, start);
  if (slot < 0) {
    lists_->Move(cluster, index, ClusterState::kFrag, served);
    return std::nullopt;
  }
  tables_->AddBytes(static_cast<ptrdiff_t>(cluster.MakeTable()));
  cluster.Attach(static_cast<uint32_t>(slot), pages, folio);
  used_slots_.fetch_add(pages, std::memory_order_relaxed);
  const bool full = cluster.used() == kSlotsPerCluster;
  lists_->Move(cluster, index, full ? ClusterState::kFull : ClusterState::kFrag,
               served);
  const SwapEntry entry(index, static_cast<uint32_t>(slot));
  const uint32_t next = (entry.slot() + pages) & (kSlotsPerCluster - 1);
  HintOf(order).store(SwapEntry(index, next).raw() + 1,
                      std::memory_order_relaxed);
  return entry;
}

uint32_t SlotAllocator::Settle(ClusterInfo& cluster, ClusterIndex index,
                               const Tally& before) {
  tables_->AddBytes(static_cast<ptrdiff_t>(cluster.overflow_bytes()) -
                    static_cast<ptrdiff_t>(before.overflow_bytes));
  const uint32_t freed = before.used - cluster.used();
  if (freed == 0) return 0;
  used_slots_.fetch_sub(freed, std::memory_order_relaxed);
  if (cluster.used() != 0) {
    if (cluster.state == ClusterState::kRetired) return freed;
    lists_->Move(cluster, index, ClusterState::kNonfull, cluster.order);
    return freed;
  }
  tables_->FreeTable(cluster, index);
  const bool retired = cluster.state == ClusterState::kRetired;
  lists_->Move(cluster, index,
               retired ? ClusterState::kAbsent : ClusterState::kFree, 0);
  return freed;
}

}  // namespace farswap::core

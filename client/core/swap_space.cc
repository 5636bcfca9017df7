#include "client/core/swap_space.h"

#include <bit>

#include "client/core/swap_space_impl.h"

namespace farswap::core {

SwapSpace::SwapSpace(FolioArena* folios)
    : impl_(std::make_unique<Impl>(folios)) {}
SwapSpace::~SwapSpace() = default;

// --- clusters ---

ClusterIndex SwapSpace::AddCluster(const ClusterGrant& grant) {
  // Others may take what Next names: each absent index is tried once.
  const size_t tries = impl_->lists.Length(ClusterState::kAbsent, 0);
  for (size_t i = 0; i < tries; ++i) {
    const auto index = impl_->lists.Next(ClusterState::kAbsent, 0);
    if (!index) break;
    if (impl_->Grant(*index, ClusterState::kAbsent, grant)) return *index;
  }
  const ClusterIndex index = impl_->lists.Make();
  impl_->Grant(index, ClusterState::kNone, grant);
  return index;
}

bool SwapSpace::Impl::Grant(ClusterIndex index, ClusterState from,
                            const ClusterGrant& grant) {
  ClusterInfo& cluster = lists.At(index);
  MutexLock lock(&cluster.mu);
  if (cluster.state != from) return false;
  cluster.number = grant.cluster;
  cluster.generation = grant.generation;
  cluster.session = grant.session;
  lists.Move(cluster, index, ClusterState::kFree, 0);
  return true;
}

std::vector<ClusterGrant> SwapSpace::RemoveFreeClusters(size_t max,
                                                        size_t keep) {
  ClusterLists& lists = impl_->lists;
  std::vector<ClusterGrant> removed;
  // Others may take what Next names: each free cluster is tried once.
  const size_t tries = lists.Length(ClusterState::kFree, 0);
  for (size_t i = 0; i < tries && removed.size() < max; ++i) {
    const auto index = lists.Next(ClusterState::kFree, 0);
    if (!index) break;
    ClusterInfo& cluster = lists.At(*index);
    MutexLock lock(&cluster.mu);
    if (!lists.Release(cluster, *index, keep)) continue;
    removed.push_back({cluster.number, cluster.generation, cluster.session});
  }
  impl_->tables.FreeLate();
  return removed;
}

void SwapSpace::RetireCluster(ClusterIndex index) {
  ClusterInfo& cluster = impl_->lists.At(index);
  MutexLock lock(&cluster.mu);
  if (cluster.state == ClusterState::kAbsent) return;
  const bool used = cluster.used() != 0;
  impl_->lists.Move(cluster, index,
                    used ? ClusterState::kRetired : ClusterState::kAbsent, 0);
}

bool SwapSpace::IsRetired(SwapEntry entry) const {
  const ClusterInfo& cluster = impl_->At(entry);
  MutexLock lock(&cluster.mu);
  return cluster.state == ClusterState::kRetired;
}

size_t SwapSpace::clusters() const { return impl_->lists.present(); }

size_t SwapSpace::free_clusters() const {
  return impl_->lists.Length(ClusterState::kFree, 0);
}

size_t SwapSpace::used_slots() const { return impl_->slots.used_slots(); }

// No lock: a grant is written before a slot of its cluster is allocated, and
// not again while one is in use.
ClusterGrant SwapSpace::GrantOf(SwapEntry entry) const
    ABSL_NO_THREAD_SAFETY_ANALYSIS {
  FARSWAP_CHECK(!WordAt(entry).is_null());
  const ClusterInfo& cluster = impl_->At(entry);
  return {cluster.number, cluster.generation, cluster.session};
}

// --- slots of a folio ---

bool SwapSpace::FolioAllocSwap(Folio* folio, MemoryGroup** over) {
  MemoryGroup* const group = folio->group;
  const uint32_t pages = PagesOf(folio->order);
  if (over != nullptr) *over = nullptr;
  if (group != nullptr &&
      group->TryChargeSwap(pages, over) == SwapCharge::kOverLimit) {
    return false;
  }
  if (impl_->Allocate(folio)) return true;
  Uncharge(group, pages);
  return false;
}

bool SwapSpace::FolioReplaceSwap(Folio* folio) {
  if (!impl_->Allocate(folio)) return false;
  if (folio->group != nullptr) {
    folio->group->ForceChargeSwap(PagesOf(folio->order));
  }
  return true;
}

bool SwapSpace::Impl::Allocate(Folio* folio) {
  FARSWAP_CHECK(!folio->has_swap);
  const auto entry = slots.Allocate(folio->order, folio->id);
  if (!entry) return false;
  FolioArena::Get(folio);
  folio->entry = *entry;
  folio->has_swap = true;
  folio->stored = false;
  return true;
}

void SwapSpace::FolioDupSwap(Folio* folio) {
  const uint32_t pages = PagesOf(folio->order);
  const SwapEntry entry = folio->entry;
  ClusterInfo& cluster = impl_->At(entry);
  MutexLock lock(&cluster.mu);
  FARSWAP_CHECK(cluster.View().IsAttached(entry.slot(), pages, folio->id));
  const auto before = SlotAllocator::Before(cluster);
  for (uint32_t i = 0; i < pages; ++i) cluster.AddOwner(entry.slot() + i);
  impl_->slots.Settle(cluster, entry.cluster(), before);
}

bool SwapSpace::FolioHasOwners(const Folio* folio) const {
  const SwapEntry entry = folio->entry;
  const ClusterInfo& cluster = impl_->At(entry);
  MutexLock lock(&cluster.mu);
  for (uint32_t i = 0; i < PagesOf(folio->order); ++i) {
    if (cluster.Owners(entry.slot() + i) != 0) return true;
  }
  return false;
}

void SwapSpace::FolioPutSwap(Folio* folio) {
  const uint32_t pages = PagesOf(folio->order);
  const SwapEntry entry = folio->entry;
  ClusterInfo& cluster = impl_->At(entry);
  MutexLock lock(&cluster.mu);
  FARSWAP_CHECK(cluster.View().IsAttached(entry.slot(), pages, folio->id));
  const auto before = SlotAllocator::Before(cluster);
  for (uint32_t i = 0; i < pages; ++i) {
    const uint32_t slot = entry.slot() + i;
    if (cluster.Owners(slot) != 0) cluster.DropOwner(slot);
  }
  impl_->slots.Settle(cluster, entry.cluster(), before);
}

bool SwapSpace::FolioFreeSwap(Folio* folio) {
  const uint32_t pages = PagesOf(folio->order);
  const SwapEntry entry = folio->entry;
  ClusterInfo& cluster = impl_->At(entry);
  {
    MutexLock lock(&cluster.mu);
    FARSWAP_CHECK(cluster.View().IsAttached(entry.slot(), pages, folio->id));
    for (uint32_t i = 0; i < pages; ++i) {
      if (cluster.Owners(entry.slot() + i) != 0) return false;
    }
    const auto before = SlotAllocator::Before(cluster);
    cluster.ToNull(entry.slot(), pages);
    impl_->slots.Settle(cluster, entry.cluster(), before);
  }
  Uncharge(folio->group, pages);
  impl_->tables.FreeLate();
  folio->has_swap = folio->stored = false;
  impl_->folios->Put(folio);
  return true;
}

void SwapSpace::PutEntries(SwapEntry entry, uint32_t pages,
                           MemoryGroup* group) {
  CheckRange(entry, pages);
  ClusterInfo& cluster = impl_->At(entry);
  uint32_t freed = 0;
  {
    MutexLock lock(&cluster.mu);
    const auto before = SlotAllocator::Before(cluster);
    for (uint32_t i = 0; i < pages; ++i) cluster.DropOwner(entry.slot() + i);
    freed = impl_->slots.Settle(cluster, entry.cluster(), before);
  }
  Uncharge(group, freed);
  impl_->tables.FreeLate();
}

void SwapSpace::DupEntries(SwapEntry entry, uint32_t pages) {
  CheckRange(entry, pages);
  ClusterInfo& cluster = impl_->At(entry);
  MutexLock lock(&cluster.mu);
  const auto before = SlotAllocator::Before(cluster);
  for (uint32_t i = 0; i < pages; ++i) {
    FARSWAP_CHECK(cluster.Owners(entry.slot() + i) != 0);
    cluster.AddOwner(entry.slot() + i);
  }
  impl_->slots.Settle(cluster, entry.cluster(), before);
}

// --- sums ---

void SwapSpace::SetSums(SwapEntry entry, int order, bool zero,
                        absl::Span<const uint32_t> sums) {
  const uint32_t pages = PagesOf(order);
  FARSWAP_CHECK(entry == entry.AlignedTo(order));
  FARSWAP_CHECK(zero || sums.size() == PartsOf(order));
  ClusterInfo& cluster = impl_->At(entry);
  MutexLock lock(&cluster.mu);
  const SwapWord first = cluster.Get(entry.slot());
  FARSWAP_CHECK(first.is_cached());
  FARSWAP_CHECK(cluster.View().IsAttached(entry.slot(), pages, first.folio()));
  if (zero) return cluster.SetZero(entry.slot(), pages);
  const uint32_t part = pages / PartsOf(order);
  for (uint32_t i = 0; i < PartsOf(order); ++i) {
    cluster.SetPart(entry.slot() + i * part, part, sums[i]);
  }
}

void SwapSpace::GetSums(SwapEntry entry, int order,
                        absl::Span<uint32_t> sums) const {
  FARSWAP_CHECK(entry == entry.AlignedTo(order));
  FARSWAP_CHECK(sums.size() == PartsOf(order));
  const uint32_t part = PagesOf(order) / PartsOf(order);
  const auto copy = [&](TableView table) {
    for (uint32_t i = 0; i < PartsOf(order); ++i) {
      sums[i] = table.Get(entry.slot() + i * part).sum();
    }
    return true;
  };
  impl_->tables.Read(entry, copy);
}

int SwapSpace::PartOrder(SwapEntry entry) const {
  const SwapPart part = impl_->tables.Read(
      entry, [&](TableView table) { return table.PartOf(entry.slot()); });
  return std::bit_width(part.pages) - 1;
}

// --- the curious ---

SwapWord SwapSpace::WordAt(SwapEntry entry) const {
  return impl_->tables.Read(
      entry, [&](TableView table) { return table.Get(entry.slot()); });
}

size_t SwapSpace::MetadataBytes() const {
  return sizeof(Impl) + impl_->lists.bytes() + impl_->tables.bytes();
}

void SwapSpace::CheckInvariants() const {
  impl_->lists.CheckInvariants();
  size_t used = 0;
  for (ClusterIndex i = 0; i < impl_->lists.end(); ++i) {
    used += impl_->CheckCluster(i);
  }
  FARSWAP_CHECK(used == used_slots());
}

size_t SwapSpace::Impl::CheckCluster(ClusterIndex index) const {
  const ClusterInfo& cluster = lists.At(index);
  MutexLock lock(&cluster.mu);
  cluster.CheckInvariants();
  const uint32_t used = cluster.used();
  const bool idle = cluster.state == ClusterState::kFree ||
                    cluster.state == ClusterState::kAbsent;
  FARSWAP_CHECK(idle == (used == 0));
  FARSWAP_CHECK(!idle || !cluster.has_table() || tables.IsLate(index));
  FARSWAP_CHECK(cluster.state == ClusterState::kRetired ||
                (cluster.state == ClusterState::kFull) ==
                    (used == kSlotsPerCluster));
  for (uint32_t slot = 0; slot < kSlotsPerCluster; ++slot) {
    const SwapWord word = cluster.Get(slot);
    if (!word.is_cached()) continue;
    // Each word of a folio is at its place in the folio, so they are in a row
    // and aligned; its first word is where it says it is.
    const Folio& folio = *folios->At(word.folio());
    const SwapEntry entry(index, slot);
    FARSWAP_CHECK(folio.has_swap && folio.refs.load() != 0);
    FARSWAP_CHECK(entry.AlignedTo(folio.order) == folio.entry);
    if (entry != folio.entry) continue;
    FARSWAP_CHECK(
        cluster.View().IsAttached(slot, PagesOf(folio.order), folio.id));
  }
  return used;
}

}  // namespace farswap::core

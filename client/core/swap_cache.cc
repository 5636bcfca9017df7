// The swap cache: the Cached words of the swap tables.
#include <algorithm>

#include "client/core/memory_group.h"
#include "client/core/swap_space.h"
#include "client/core/swap_space_impl.h"

namespace farswap::core {
namespace {

// Whether a folio may be attached; the kernel's errno's in comments.
enum class Fit {
  kOk,
  kExist,  // EEXIST: the target is cached.
  kNoEnt,  // ENOENT: the target has no owner.
  kBusy,   // EBUSY: a neighbour does not fit; a smaller folio may.
};

// Without the cluster's lock a hint: what it refuses was so for the words it
// looked at, one after another; what it allows is looked at again.
Fit FitOf(TableView table, uint32_t target, int order) {
  const SwapWord word = table.Get(target);
  if (word.is_cached()) return Fit::kExist;
  if (!word.is_shadow() || word.count() == 0) return Fit::kNoEnt;
  const uint32_t pages = PagesOf(order);
  const uint32_t base = target & ~(pages - 1);
  for (uint32_t i = base; i < base + pages; ++i) {
    const SwapWord other = table.Get(i);
    if (!other.is_shadow() || other.zero() != word.zero()) return Fit::kBusy;
  }
  // Zero slots are fetched from nowhere: there is nothing to verify.
  if (word.zero() || table.IsFolioShaped(base, pages)) return Fit::kOk;
  return Fit::kBusy;
}

// Whether that is the end of the matter: no smaller folio would fit.
bool Refuse(Fit fit, int order, CacheAlloc* result) {
  if (fit == Fit::kBusy) {
    result->fallbacks.AddConflict(order);
    return false;
  }
  result->error = fit == Fit::kExist ? CacheError::kExist : CacheError::kNoEnt;
  return true;
}

void Attach(ClusterInfo& cluster, SwapEntry target, Folio* folio,
            CacheAlloc* result) ABSL_EXCLUSIVE_LOCKS_REQUIRED(cluster.mu) {
  const SwapWord word = cluster.Get(target.slot());
  result->folio = folio;
  result->age = word.age();
  result->zero = word.zero();
  // The fields first: once a word names the folio, others find it.
  folio->entry = target.AlignedTo(folio->order);
  folio->has_swap = folio->reading = true;
  FolioArena::Get(folio);
  cluster.ToCached(folio->entry.slot(), PagesOf(folio->order), folio->id);
}

// How many clusters one call of CollectCachedOnly looks at.
constexpr size_t kCollectClusters = 1024;

}  // namespace

CacheAlloc SwapSpace::SwapCacheAllocFolio(
    SwapEntry entry, uint32_t orders,
    absl::FunctionRef<Folio*(int order)> alloc) {
  CacheAlloc result;
  for (int order = kMaxOrder; order >= 0; --order) {
    if ((orders >> order & 1) == 0) continue;
    if (impl_->TryAttach(entry, order, alloc, &result)) return result;
  }
  result.error =
      result.fallbacks.alloc != 0 ? CacheError::kNoMem : CacheError::kBusy;
  return result;
}

bool SwapSpace::Impl::TryAttach(SwapEntry entry, int order,
                                absl::FunctionRef<Folio*(int order)> alloc,
                                CacheAlloc* result) {
  ClusterInfo& cluster = At(entry);
  Fit fit = tables.Read(entry, [&](TableView table) {
    return FitOf(table, entry.slot(), order);
  });
  if (fit != Fit::kOk) return Refuse(fit, order, result);
  Folio* folio = alloc(order);
  if (folio == nullptr) {
    result->fallbacks.AddAlloc(order);
    return false;
  }
  FARSWAP_CHECK(folio->order == order && !folio->has_swap);
  {
    // Without the lock anything may have happened to the slots.
    MutexLock lock(&cluster.mu);
    fit = FitOf(cluster.View(), entry.slot(), order);
    if (fit == Fit::kOk) {
      Attach(cluster, entry, folio, result);
      return true;
    }
  }
  if (folio->group != nullptr) folio->group->Uncharge(PagesOf(order));
  folios->Put(folio);
  return Refuse(fit, order, result);
}

Folio* SwapSpace::SwapCacheGetFolio(SwapEntry entry) {
  bool contested = false;
  Folio* const found = impl_->tables.Read(entry, [&](TableView table) {
    return table.GetAttached(entry.slot(), impl_->folios, &contested);
  });
  if (!contested) return found;
  const ClusterInfo& cluster = impl_->At(entry);
  MutexLock lock(&cluster.mu);
  const SwapWord word = cluster.Get(entry.slot());
  if (!word.is_cached()) return nullptr;
  Folio* folio = impl_->folios->At(word.folio());
  FolioArena::Get(folio);  // The cache's own reference keeps it alive.
  return folio;
}

void SwapSpace::SwapCacheDelFolio(Folio* folio, uint32_t age) {
  const uint32_t pages = PagesOf(folio->order);
  const SwapEntry entry = folio->entry;
  ClusterInfo& cluster = impl_->At(entry);
  uint32_t freed = 0;
  {
    MutexLock lock(&cluster.mu);
    FARSWAP_CHECK(cluster.View().IsAttached(entry.slot(), pages, folio->id));
    const auto before = SlotAllocator::Before(cluster);
    cluster.ToShadow(entry.slot(), pages, age);
    freed = impl_->slots.Settle(cluster, entry.cluster(), before);
  }
  Uncharge(folio->group, freed);
  impl_->tables.FreeLate();
  folio->has_swap = folio->stored = false;
  impl_->folios->Put(folio);
}

std::vector<Folio*> SwapSpace::CollectCachedOnly(size_t max,
                                                 const MemoryGroup* within) {
  Impl::Collection collection{max, kCollectClusters, within, {}};
  impl_->Collect(ClusterState::kFull, 0, &collection);
  for (int order = 0; order < kOrders; ++order) {
    impl_->Collect(ClusterState::kNonfull, order, &collection);
    impl_->Collect(ClusterState::kFrag, order, &collection);
  }
  return collection.found;
}

void SwapSpace::Impl::Collect(ClusterState state, int order,
                              Collection* collection) {
  size_t tries = std::min(collection->budget, lists.Length(state, order));
  for (; tries > 0 && collection->found.size() < collection->max; --tries) {
    const auto index = lists.Next(state, order);
    if (!index) return;
    --collection->budget;
    const ClusterInfo& cluster = lists.At(*index);
    MutexLock lock(&cluster.mu);
    if (cluster.cached_only() != 0) CollectFrom(cluster, collection);
  }
}

void SwapSpace::Impl::CollectFrom(const ClusterInfo& cluster,
                                  Collection* collection) {
  uint32_t pages = 1;
  for (uint32_t slot = 0; slot < kSlotsPerCluster; slot += pages) {
    if (collection->found.size() == collection->max) return;
    pages = 1;
    const SwapWord word = cluster.Get(slot);
    if (!word.is_cached()) continue;
    Folio* folio = folios->At(word.folio());
    pages = PagesOf(folio->order);  // Constant while the cache refers to it.
    bool owned = false;
    for (uint32_t i = slot; i < slot + pages; ++i) {
      owned |= cluster.Get(i).count() != 0;
    }
    const MemoryGroup* const within = collection->within;
    if (owned || (within != nullptr && !folio->group->IsWithin(within))) {
      continue;
    }
    FolioArena::Get(folio);
    collection->found.push_back(folio);
  }
}

}  // namespace farswap::core

// FaultPath: what is counted of a swap-in that was to be larger.
#include "client/pager/fault_path.h"

namespace farswap::pager {

void FaultPath::CountThpFallback(ThpFallback cause) const {
  shared_.counters.thp_swpin_fallback[static_cast<size_t>(cause)].Add();
}

void FaultPath::CountAttach(const Plan& plan, const core::CacheAlloc& cache) {
  const bool got = cache.folio != nullptr;
  // What was there when the plan was made and is not there now is a race lost,
  // not memory that ran out: to call it so would make a fault fail in vain.
  if (!got && IsSpuriousOom(cache, shared_.swap.WordAt(plan.word.entry()))) {
    shared_.counters.fault_spurious_oom.Add();
  }
  const int order = got ? cache.folio->order : -1;
  for (int tried = order + 1; got && tried < kOrders; ++tried) {
    if ((plan.orders >> tried & 1) == 0) continue;
    shared_.counters.swpin_fallback[tried].Add();
  }
  const bool wanted_block = (plan.orders >> kPmdOrder & 1) != 0;
  if (!got || !wanted_block || order == kPmdOrder) return;
  CountThpFallback(cache.fallbacks.alloc > 0 ? ThpFallback::kAlloc
                                             : ThpFallback::kConflict);
}

void FaultPath::CountBlockInPiecesLocked(const PageMap& map,
                                         uint64_t page) const {
  const uint64_t first = AlignDown(page, kPagesPerPmd);
  bool zeros = false;
  // A page of each part says what the part is, but for a few: it is a count.
  for (uint64_t i = 0; i < kPagesPerPmd && !zeros; i += kPagesPerPart) {
    zeros = map.Get(first + i).is_zeros();
  }
  CountThpFallback(zeros ? ThpFallback::kZero : ThpFallback::kConflict);
}

void FaultPath::CountBlockLocked(Region* region, uint64_t page) {
  if (region->map().GetBlock(page / kPagesPerPmd).has_table()) {
    CountThpFallback(ThpFallback::kPmd);
  } else {
    shared_.counters.thp_swpin.Add();
  }
}

}  // namespace farswap::pager

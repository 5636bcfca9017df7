#include "client/runtime/stats.h"

#include <algorithm>
#include <array>
#include <cstddef>

#include "common/units.h"

namespace farswap::runtime {
namespace {

static_assert(FARSWAP_ORDERS == kOrders);

void CopyFallbacks(const pager::PagerStats& from, farswap_stats* to) {
  using pager::ThpFallback;
  const auto cause = [&](ThpFallback c) {
    return from.thp_swpin_fallbacks[static_cast<size_t>(c)];
  };
  to->thp_swpin_fallback = from.thp_swpin_fallback;
  to->thp_swpin_fallback_alloc = cause(ThpFallback::kAlloc);
  to->thp_swpin_fallback_charge = cause(ThpFallback::kCharge);
  to->thp_swpin_fallback_conflict = cause(ThpFallback::kConflict);
  to->thp_swpin_fallback_zero = cause(ThpFallback::kZero);
  to->thp_swpin_fallback_pmd = cause(ThpFallback::kPmd);
  to->thp_swpin_fallback_staging = cause(ThpFallback::kStaging);
  std::copy(from.swpin_fallback.begin(), from.swpin_fallback.end(),
            to->swpin_fallback);
  std::copy(from.swpout_fallback.begin(), from.swpout_fallback.end(),
            to->swpout_fallback);
}

void CopyStage(const pager::StageStats::ByOrder& from, uint64_t* count,
               uint64_t* ns) {
  for (int order = 0; order < kOrders; ++order) {
    count[order] = from[order].count;
    ns[order] = from[order].sum_ns;
  }
}

void CopyStages(const pager::StageStats& from, farswap_stats* to) {
  to->stage_queue_count = from.queue.count;
  to->stage_queue_ns = from.queue.sum_ns;
  CopyStage(from.rpc, to->stage_rpc_count, to->stage_rpc_ns);
  CopyStage(from.verify, to->stage_verify_count, to->stage_verify_ns);
  CopyStage(from.install, to->stage_install_count, to->stage_install_ns);
  to->stage_total_count = from.total.count;
  to->stage_total_ns = from.total.sum_ns;
}

void CopyGauges(const pager::PagerStats& from, farswap_stats* to) {
  to->resident_bytes = from.resident_bytes;
  to->resident_peak_bytes = from.resident_peak_bytes;
  to->pinned_bytes = from.pinned_bytes;
  to->remote_bytes = from.remote_bytes;
  to->remote_peak_bytes = from.remote_peak_bytes;
  to->fault_ns_p50 = from.fault_ns_p50;
  to->fault_ns_p99 = from.fault_ns_p99;
  to->fault_ns_p999 = from.fault_ns_p999;
  to->fault_ns_max = from.fault_ns_max;
}

}  // namespace

farswap_stats ToStats(const pager::PagerStats& from) {
  farswap_stats to = {};
  to.size = sizeof(to);
  to.faults = from.faults;
  to.faults_failed = from.faults_failed;
  to.faults_overdue = from.faults_overdue;
  to.fault_spurious = from.fault_spurious;
  to.fault_spurious_oom = from.fault_spurious_oom;
  to.refaults = from.refaults;
  std::copy(from.swpin.begin(), from.swpin.end(), to.swpin);
  std::copy(from.swpout.begin(), from.swpout.end(), to.swpout);
  to.swpin_zero = from.swpin_zero;
  to.swpout_zero = from.swpout_zero;
  to.swpout_clean = from.swpout_clean;
  to.swpin_cached = from.swpin_cached;
  to.swpin_bytes = from.swpin_bytes;
  to.swpout_bytes = from.swpout_bytes;
  to.thp_swpin = from.thp_swpin;
  to.swap_ra = from.swap_ra;
  to.swap_ra_hit = from.swap_ra_hit;
  to.prefetch_dropped = from.prefetch_dropped;
  to.takeout_busy = from.takeout_busy;
  to.takeout_unshared = from.takeout_unshared;
  to.forks = from.forks;
  to.forks_refused = from.forks_refused;
  to.forked_children = from.forked_children;
  to.forked_pages = from.forked_pages;
  to.retries = from.retries;
  to.checksum_errors = from.checksum_errors;
  to.pages_lost = from.pages_lost;
  CopyFallbacks(from, &to);
  CopyGauges(from, &to);
  CopyStages(from.stages, &to);
  return to;
}

}  // namespace farswap::runtime

// What users see of a pager's counters.
#ifndef FARSWAP_CLIENT_PAGER_PAGER_STATS_H_
#define FARSWAP_CLIENT_PAGER_PAGER_STATS_H_

#include <array>
#include <cstdint>

#include "client/pager/counters.h"
#include "client/pager/stages.h"
#include "common/units.h"

namespace farswap::pager {

// A snapshot; the fields are those of farswap_stats in farswap.h.
struct PagerStats {
  uint64_t faults = 0;
  uint64_t faults_failed = 0;
  uint64_t refaults = 0;
  std::array<uint64_t, kOrders> swpin{};
  std::array<uint64_t, kOrders> swpout{};
  uint64_t swpin_zero = 0;
  uint64_t swpout_zero = 0;
  uint64_t swpout_clean = 0;
  uint64_t swpin_cached = 0;
  uint64_t swpin_bytes = 0;
  uint64_t swpout_bytes = 0;
  uint64_t thp_swpin = 0;
  uint64_t thp_swpin_fallback = 0;
  uint64_t resident_bytes = 0;
  uint64_t resident_peak_bytes = 0;
  uint64_t remote_bytes = 0;
  uint64_t remote_peak_bytes = 0;
  uint64_t fault_ns_p50 = 0;
  uint64_t fault_ns_p99 = 0;
  uint64_t fault_ns_p999 = 0;
  uint64_t fault_ns_max = 0;
  uint64_t retries = 0;
  uint64_t checksum_errors = 0;
  uint64_t pages_lost = 0;
  uint64_t faults_overdue = 0;
  uint64_t fault_spurious = 0;
  uint64_t fault_spurious_oom = 0;
  std::array<uint64_t, kOrders> swpin_fallback{};
  std::array<uint64_t, kOrders> swpout_fallback{};
  std::array<uint64_t, kThpFallbacks> thp_swpin_fallbacks{};  // By cause.
  uint64_t swap_ra = 0;
  uint64_t swap_ra_hit = 0;
  uint64_t takeout_busy = 0;
  uint64_t pinned_bytes = 0;
  uint64_t prefetch_dropped = 0;
  uint64_t takeout_unshared = 0;
  uint64_t forks = 0;
  uint64_t forks_refused = 0;
  uint64_t forked_children = 0;
  uint64_t forked_pages = 0;
  StageStats stages;
};

// What the transport and the groups count is left as it is.
PagerStats SnapshotOf(const Counters& counters);

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_PAGER_STATS_H_

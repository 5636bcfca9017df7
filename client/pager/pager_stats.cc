#include "client/pager/pager_stats.h"

#include <cstddef>
#include <numeric>

namespace farswap::pager {
namespace {

template <size_t kSize>
std::array<uint64_t, kSize> Read(const std::array<Counter, kSize>& counters) {
  std::array<uint64_t, kSize> values;
  for (size_t i = 0; i < kSize; ++i) values[i] = counters[i].Get();
  return values;
}

void ReadFallbacks(const Counters& c, PagerStats* s) {
  s->swpin_fallback = Read(c.swpin_fallback);
  s->swpout_fallback = Read(c.swpout_fallback);
  s->thp_swpin_fallbacks = Read(c.thp_swpin_fallback);
  s->thp_swpin_fallback =
      std::accumulate(s->thp_swpin_fallbacks.begin(),
                      s->thp_swpin_fallbacks.end(), uint64_t{0});
}

void ReadGauges(const Counters& c, PagerStats* s) {
  s->resident_bytes = c.resident_pages.Get() * kPageBytes;
  s->resident_peak_bytes = c.resident_pages.Peak() * kPageBytes;
  s->remote_bytes = c.remote_pages.Get() * kPageBytes;
  s->remote_peak_bytes = c.remote_pages.Peak() * kPageBytes;
  s->fault_ns_p50 = c.fault_ns.Percentile(0.5);
  s->fault_ns_p99 = c.fault_ns.Percentile(0.99);
  s->fault_ns_p999 = c.fault_ns.Percentile(0.999);
  s->fault_ns_max = c.fault_ns.Max();
}

}  // namespace

PagerStats SnapshotOf(const Counters& c) {
  PagerStats s;
  s.faults = c.faults.Get();
  s.faults_failed = c.faults_failed.Get();
  s.faults_overdue = c.faults_overdue.Get();
  s.fault_spurious = c.fault_spurious.Get();
  s.fault_spurious_oom = c.fault_spurious_oom.Get();
  s.refaults = c.refaults.Get();
  s.swpin = Read(c.swpin);
  s.swpout = Read(c.swpout);
  s.swpin_zero = c.swpin_zero.Get();
  s.swpout_zero = c.swpout_zero.Get();
  s.swpout_clean = c.swpout_clean.Get();
  s.swpin_cached = c.swpin_cached.Get();
  s.swpin_bytes = c.swpin_bytes.Get();
  s.swpout_bytes = c.swpout_bytes.Get();
  s.thp_swpin = c.thp_swpin.Get();
  s.swap_ra = c.swap_ra.Get();
  s.swap_ra_hit = c.swap_ra_hit.Get();
  s.prefetch_dropped = c.prefetch_dropped.Get();
  s.takeout_unshared = c.takeout_unshared.Get();
  s.forks = c.forks.Get();
  s.forks_refused = c.forks_refused.Get();
  s.forked_children = c.forked_children.Get();
  s.forked_pages = c.forked_pages.Get();
  s.takeout_busy = c.takeout_busy.Get();
  s.checksum_errors = c.checksum_errors.Get();
  s.pages_lost = c.pages_lost.Get();
  ReadFallbacks(c, &s);
  ReadGauges(c, &s);
  s.stages = SnapshotOf(c.stages);
  return s;
}

}  // namespace farswap::pager

// What the pager counts, in one place; the names are the kernel's where it has
// one. PagerStats (pager.h) is the snapshot that users see.
#ifndef FARSWAP_CLIENT_PAGER_COUNTERS_H_
#define FARSWAP_CLIENT_PAGER_COUNTERS_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "client/pager/latency.h"
#include "client/pager/stages.h"
#include "common/units.h"

namespace farswap::pager {

// Relaxed: counters order nothing.
class Counter {
 public:
  void Add(uint64_t n = 1) { value_.fetch_add(n, std::memory_order_relaxed); }
  uint64_t Get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

// A quantity and the highest value it had.
class Gauge {
 public:
  void Add(uint64_t n) {
    const uint64_t now = value_.fetch_add(n, std::memory_order_relaxed) + n;
    uint64_t peak = peak_.load(std::memory_order_relaxed);
    while (now > peak &&
           !peak_.compare_exchange_weak(peak, now, std::memory_order_relaxed)) {
    }
  }
  void Sub(uint64_t n) { value_.fetch_sub(n, std::memory_order_relaxed); }
  uint64_t Get() const { return value_.load(std::memory_order_relaxed); }
  uint64_t Peak() const { return peak_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
  std::atomic<uint64_t> peak_{0};
};

// Why a swap-in that was to be of 2 MiB was not.
enum class ThpFallback {
  kAlloc,     // No folio was left.
  kCharge,    // No room under the limit.
  kConflict,  // A part of the block is resident, on its way, or elsewhere.
  kZero,      // A part of the block is zeros, in no slot.
  kPmd,       // It came as one, but was mapped in small pages.
  kStaging,   // No 2 MiB of staging were free to receive into.
};
inline constexpr size_t kThpFallbacks = 6;

struct Counters {
  Counter faults;          // Messages served.
  Counter faults_failed;   // Poisoned or aborted.
  Counter faults_overdue;  // Waited on past their deadline (FailPolicy::kWait).
  Counter fault_spurious;  // The page was there already.
  // Races lost to another worker and told as out of memory: stays 0.
  Counter fault_spurious_oom;
  Counter refaults;  // Folios read back from a server.
  std::array<Counter, kOrders> swpin;
  std::array<Counter, kOrders> swpout;
  std::array<Counter, kOrders> swpin_fallback;   // An order tried in vain.
  std::array<Counter, kOrders> swpout_fallback;  // Went in parts.
  Counter swpin_zero;
  Counter swpout_zero;
  Counter swpout_clean;  // Unchanged: taken out without a put.
  Counter swpin_cached;  // Served from a folio on its way out.
  Counter swpin_bytes;
  Counter swpout_bytes;
  Counter thp_swpin;
  std::array<Counter, kThpFallbacks> thp_swpin_fallback;  // By cause.
  Counter swap_ra;           // Folios read before anyone faulted on them.
  Counter swap_ra_hit;       // Of them: waited for, or a stream went past.
  Counter prefetch_dropped;  // Pages asked for in vain: no room, too many.
  Counter takeout_busy;      // EBUSY, EINVAL, ...: left resident.
  Counter takeout_unshared;  // Given frames of their own, for a child's sake.
  Counter forks;             // Children that are, or were, served.
  Counter forks_refused;     // Whose remote pages raise SIGBUS there.
  Counter forked_pages;      // Copied into children, from slots.
  Counter checksum_errors;
  Counter pages_lost;
  Gauge resident_pages;  // Mapped in regions.
  Gauge remote_pages;    // Taken out, in a slot.
  Gauge forked_children;
  LatencyHistogram fault_ns;
  Stages stages;
};

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_COUNTERS_H_

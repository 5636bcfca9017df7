// What the pager counts, in one place; the names are the kernel's where it has
// one. PagerStats (pager.h) is the snapshot that users see.
#ifndef FARSWAP_CLIENT_PAGER_COUNTERS_H_
#define FARSWAP_CLIENT_PAGER_COUNTERS_H_

#include <array>
#include <atomic>
#include <cstdint>

#include "client/pager/latency.h"
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

struct Counters {
  Counter faults;          // Messages served.
  Counter faults_failed;   // Poisoned or aborted.
  Counter faults_overdue;  // Waited on past their deadline (FailPolicy::kWait).
  Counter fault_spurious;  // The page was there already.
  Counter refaults;        // Folios read back from a server.
  std::array<Counter, kOrders> swpin;
  std::array<Counter, kOrders> swpout;
  std::array<Counter, kOrders> swpin_fallback;  // An order tried in vain.
  Counter swpin_zero;
  Counter swpout_zero;
  Counter swpout_clean;  // Unchanged: taken out without a put.
  Counter swpin_cached;  // Served from a folio on its way out.
  Counter swpin_bytes;
  Counter swpout_bytes;
  Counter swap_ra;  // Blocks read ahead.
  Counter thp_swpin;
  Counter thp_swpin_fallback;
  Counter takeout_busy;  // EBUSY, EINVAL, ...: left resident.
  Counter checksum_errors;
  Counter pages_lost;
  Gauge resident_pages;  // Mapped in regions.
  Gauge remote_pages;    // Taken out, in a slot.
  LatencyHistogram fault_ns;
};

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_COUNTERS_H_

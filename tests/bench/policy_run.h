// A run of one reclaim policy over one trace: what it costs.
//
// A policy sees what a pager in user space sees: faults. An access of a mapped
// page is not seen. A page that is unmapped but kept is local, and counts
// against the memory like one that is mapped. MIN and LRU see everything: no
// pager could be them.
#ifndef FARSWAP_TESTS_BENCH_POLICY_RUN_H_
#define FARSWAP_TESTS_BENCH_POLICY_RUN_H_

#include <cstdint>
#include <string>
#include <vector>

#include "tests/bench/policy_trace.h"

namespace farswap::bench {

struct PolicyCost {
  uint64_t first = 0;   // First touches: the same for all.
  uint64_t hard = 0;    // Misses: the page came from the server.
  uint64_t soft = 0;    // Faults on a page that was kept.
  uint64_t unmaps = 0;  // One-page moves out.
};

// Of the faults after the first touches, with what DESIGN.md measured: a page
// got in 80 us, moved out alone in 35, soft faulted in 25.
inline double PolicyMicros(const PolicyCost& cost) {
  return 80.0 * static_cast<double>(cost.hard) +
         25.0 * static_cast<double>(cost.soft) +
         35.0 * static_cast<double>(cost.hard + cost.soft);
}

// What ships: core::MemoryGroup with its core::Lru, called as the pager does.
PolicyCost RunShipped(const PolicyTrace& trace);

// Those that it is measured against. RunPolicy takes any of the names.
//   min            Belady's: goes what is used again last
//   lru            exact
//   fifo
//   half           what shipped before: nothing kept, active if it came back
//                  within half of the memory
//   shadows        nothing kept, active within an eighth
//   kept_32, kept_16, kept_8   a 32nd, 16th, 8th of memory kept, no shadows
//   segmented_8    VMS's: one FIFO, an eighth kept, soft faults to its head
//   unchallenged   shipped's, but that active owes nothing to a later refault
//   wide           so too, and active may be three quarters of the mapped
//   two_queues     a tenth probation; main, by shadows alone, FIFO
//   s3             the same, rounds of main by how soon it came back
//   s3_kept        the same, a 20th kept
//   arc            s3, probation as large as its refaults ask for
std::vector<std::string> PolicyNames();
// REQUIRES: one of these names, or "shipped".
PolicyCost RunPolicy(const std::string& name, const PolicyTrace& trace);

}  // namespace farswap::bench

#endif  // FARSWAP_TESTS_BENCH_POLICY_RUN_H_

// Reclaim policies that are measured and do not ship.
#ifndef FARSWAP_TESTS_BENCH_POLICY_RIVALS_H_
#define FARSWAP_TESTS_BENCH_POLICY_RIVALS_H_

#include "tests/bench/policy_run.h"
#include "tests/bench/policy_trace.h"

namespace farswap::bench {

// LRU, which sees each access; or FIFO.
PolicyCost RunInOrder(const PolicyTrace& trace, bool lru);

// Inactive and active, as core::Lru has them. Shares of memory.
struct TwoListsRule {
  double kept = 0;
  double soon = 0;    // The refault distance that activates.
  double active = 1;  // How many times as large as inactive active may be; 0:
                      // there is one list.
};
PolicyCost RunTwoLists(const PolicyTrace& trace, const TwoListsRule& rule);

// After 2Q, S3-FIFO and ARC, without an accessed bit: what faults first is on
// probation, what came back within the memory's size is in main. A page that
// came back sooner goes round main more often before it is unmapped.
struct QueuesRule {
  double kept = 0;
  bool rounds = true;
  bool adaptive = false;  // Probation grows and shrinks; else a tenth.
};
PolicyCost RunQueues(const PolicyTrace& trace, const QueuesRule& rule);

}  // namespace farswap::bench

#endif  // FARSWAP_TESTS_BENCH_POLICY_RIVALS_H_

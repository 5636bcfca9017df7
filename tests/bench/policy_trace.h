// Traces of page accesses, by name, to drive reclaim policies over.
//
// Each starts with one access of every page in order, as a program that fills
// its memory does; the rest is what it does with it. The same seed gives the
// same trace.
#ifndef FARSWAP_TESTS_BENCH_POLICY_TRACE_H_
#define FARSWAP_TESTS_BENCH_POLICY_TRACE_H_

#include <cstdint>
#include <string>
#include <vector>

namespace farswap::bench {

struct PolicyTrace {
  std::string name;
  uint32_t pages = 0;   // Accesses are below that.
  uint32_t memory = 0;  // Pages that may be local.
  std::vector<uint32_t> accesses;
};

// What the goals are about.
//   zipf           zipfian 0.99 over all pages; half is local
//   scan           three of four accesses uniform in a hot set half as large
//                  as memory, every fourth a scan of the rest; a quarter is
//                  local
//   redis_zipf     GETs of 1 KiB values by zipfian 0.99 keys: hash bucket,
//   redis_uniform  entry, object, value; or by uniform ones, as
//                  redis-benchmark -r; 70 % is local
//   sort           a merge sort, top down, half is local
// What a policy that meets them must not pay for them with.
//   drift          zipf, in which a quarter of the ranks moves now and then
//   phases         eight times around 3/5 of memory in order, then elsewhere
//   phases_random  the same, at random
//   after_zipf     zipf, then 16 times around 4/5 of memory, and that again
//   loop           around all pages, half is local
std::vector<std::string> PolicyTraceNames();

// REQUIRES: a name of these; 1024 <= pages < 2^24.
PolicyTrace MakePolicyTrace(const std::string& name, uint32_t pages,
                            uint64_t seed);

}  // namespace farswap::bench

#endif  // FARSWAP_TESTS_BENCH_POLICY_TRACE_H_

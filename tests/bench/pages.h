// What benchmarks write, and how they know it again: each page is like no other
// of the same seed.
#ifndef FARSWAP_TESTS_BENCH_PAGES_H_
#define FARSWAP_TESTS_BENCH_PAGES_H_

#include <cstdint>

#include "common/units.h"

namespace farswap::bench {

inline constexpr uint64_t kWordsPerPage = kPageBytes / sizeof(uint64_t);

// Word `i` of all the memory. One multiplication and one shift: 10 GB/s and
// more, so that the memory is measured and not the check; and no four bytes
// repeat within reach of an LZ compressor, so that zram stores it whole.
inline uint64_t WordAt(uint64_t i, uint64_t seed) {
  const uint64_t z = (i + seed * 0x100000001) * 0x9E3779B97F4A7C15;
  return z ^ (z >> 32);
}

inline void FillPage(uint64_t* words, uint64_t page, uint64_t seed) {
  for (uint64_t i = 0; i < kWordsPerPage; ++i) {
    words[i] = WordAt(page * kWordsPerPage + i, seed);
  }
}

inline bool PageHolds(const uint64_t* words, uint64_t page, uint64_t seed) {
  uint64_t difference = 0;
  for (uint64_t i = 0; i < kWordsPerPage; ++i) {
    difference |= words[i] ^ WordAt(page * kWordsPerPage + i, seed);
  }
  return difference == 0;
}

}  // namespace farswap::bench

#endif  // FARSWAP_TESTS_BENCH_PAGES_H_

// Pages that can be told from every other: each holds the words of a stamp.
#ifndef FARSWAP_TESTS_CLIENT_PAGER_STAMPED_PAGE_H_
#define FARSWAP_TESTS_CLIENT_PAGER_STAMPED_PAGE_H_

#include <cstdint>

#include "common/units.h"

namespace farswap::pager {

// The word at `i` of a page with that stamp: incompressible, never zero.
inline uint64_t WordOf(uint64_t stamp, uint64_t i) {
  uint64_t x = stamp * 0x9e3779b97f4a7c15ull + i + 1;
  x ^= x >> 30;
  x *= 0xbf58476d1ce4e5b9ull;
  return (x ^ (x >> 27)) | 1;
}

inline void FillPage(char* page, uint64_t stamp) {
  auto* words = reinterpret_cast<uint64_t*>(page);
  for (uint64_t i = 0; i < kPageBytes / 8; ++i) words[i] = WordOf(stamp, i);
}

inline bool PageIs(const char* page, uint64_t stamp) {
  const auto* words = reinterpret_cast<const uint64_t*>(page);
  for (uint64_t i = 0; i < kPageBytes / 8; ++i) {
    if (words[i] != WordOf(stamp, i)) return false;
  }
  return true;
}

}  // namespace farswap::pager

#endif  // FARSWAP_TESTS_CLIENT_PAGER_STAMPED_PAGE_H_

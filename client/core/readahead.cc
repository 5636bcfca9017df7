#include "client/core/readahead.h"

#include <algorithm>
#include <bit>

namespace farswap::core {

uint32_t ReadaheadWindow(uint32_t hits, bool adjacent, uint32_t previous,
                         uint32_t max) {
  uint32_t window = adjacent ? 2 : 1;
  if (hits != 0) window = std::bit_ceil(hits + 2);  // At least 4: 1 + 2 are 3.
  return std::min(std::max(window, previous / 2), max);
}

}  // namespace farswap::core

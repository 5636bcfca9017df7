// How much memory the tree uses, and when to look next.
#ifndef FARSWAP_CLIENT_LAUNCHER_RUN_MEMORY_H_
#define FARSWAP_CLIENT_LAUNCHER_RUN_MEMORY_H_

#include <chrono>
#include <cstdint>

namespace farswap::launcher {

// A process with less is not worth making far, nor holding.
inline constexpr uint64_t kLeastFarBytes = uint64_t{1} << 20;

// From how much use on there is a pager, for `limit` bytes of local memory: at
// half of it; or with 512 MiB left, if that is sooner, as the programs go on
// while it starts; but not below an eighth, which any program has at once.
uint64_t PagerThreshold(uint64_t limit);

// How long `use` cannot reach `threshold`: what is missing at 4 GB/s, which is
// as fast as one thread gets zeroed pages. From 2 ms, not to be all there is
// to do, to 100 ms, as there may be several threads.
std::chrono::milliseconds NextLook(uint64_t use, uint64_t threshold);

// From how much use on processes become far, and until there is a pager are
// held (HeldProcess): at half of the limit, or with 256 MiB left.
uint64_t FarThreshold(uint64_t limit);

}  // namespace farswap::launcher

#endif  // FARSWAP_CLIENT_LAUNCHER_RUN_MEMORY_H_

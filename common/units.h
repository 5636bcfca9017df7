// The sizes of the design, and types that keep pages, orders and bytes apart.
//
// A page is 4 KiB. A folio is 2^order naturally aligned pages. A cluster is
// 512 slots of one page, 2 MiB: what a server grants, and the size of a PMD
// mapping on x86-64.
#ifndef FARSWAP_COMMON_UNITS_H_
#define FARSWAP_COMMON_UNITS_H_

#include <cstddef>
#include <cstdint>

namespace farswap {

inline constexpr int kPageShift = 12;
inline constexpr size_t kPageBytes = size_t{1} << kPageShift;
inline constexpr int kPmdOrder = 9;
inline constexpr int kMaxOrder = kPmdOrder;
inline constexpr int kOrders = kMaxOrder + 1;
inline constexpr uint32_t kPagesPerPmd = 1u << kPmdOrder;
inline constexpr size_t kPmdBytes = kPageBytes << kPmdOrder;

inline constexpr uint32_t kSlotsPerCluster = kPagesPerPmd;
inline constexpr size_t kClusterBytes = kPmdBytes;

// A folio larger than this carries one checksum per part of this order, so
// that its parts can be fetched alone. 64 KiB: on the wire it costs little
// more than 4 KiB.
inline constexpr int kPartOrder = 4;
inline constexpr uint32_t kPagesPerPart = 1u << kPartOrder;
inline constexpr size_t kPartBytes = kPageBytes << kPartOrder;
inline constexpr uint32_t kPartsPerPmd = kPagesPerPmd / kPagesPerPart;

constexpr uint32_t PagesOf(int order) { return 1u << order; }
constexpr size_t BytesOf(int order) { return kPageBytes << order; }

// How many checksums a folio of that order carries: 1 up to 64 KiB, then one
// per 64 KiB.
constexpr uint32_t PartsOf(int order) {
  return order <= kPartOrder ? 1u : 1u << (order - kPartOrder);
}

constexpr size_t AlignDown(size_t n, size_t unit) { return n & ~(unit - 1); }
constexpr size_t AlignUp(size_t n, size_t unit) {
  return AlignDown(n + unit - 1, unit);
}

static_assert(kClusterBytes == 2u << 20);
static_assert(PartsOf(kPmdOrder) == kPartsPerPmd && kPartsPerPmd == 32);

}  // namespace farswap

#endif  // FARSWAP_COMMON_UNITS_H_

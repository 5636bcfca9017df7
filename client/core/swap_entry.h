// A swap entry names the remote place of one page: a cluster and a slot.
#ifndef FARSWAP_CLIENT_CORE_SWAP_ENTRY_H_
#define FARSWAP_CLIENT_CORE_SWAP_ENTRY_H_

#include <compare>
#include <cstdint>

#include "common/units.h"

namespace farswap::core {

// Index of a cluster in this client's SwapSpace: not the server's number of
// it, which is in the cluster's grant.
using ClusterIndex = uint32_t;

class SwapEntry {
 public:
  SwapEntry() = default;
  constexpr SwapEntry(ClusterIndex cluster, uint32_t slot)
      : raw_((uint64_t{cluster} << kPmdOrder) | slot) {}
  // Inverse of raw().
  static constexpr SwapEntry FromRaw(uint64_t raw) {
    SwapEntry entry;
    entry.raw_ = raw;
    return entry;
  }

  constexpr ClusterIndex cluster() const {
    return static_cast<ClusterIndex>(raw_ >> kPmdOrder);
  }
  constexpr uint32_t slot() const {
    return static_cast<uint32_t>(raw_ & (kSlotsPerCluster - 1));
  }
  // 41 bits: cluster << 9 | slot.
  constexpr uint64_t raw() const { return raw_; }

  // The entry `pages` slots on, which must be in the same cluster.
  constexpr SwapEntry operator+(uint32_t pages) const {
    return FromRaw(raw_ + pages);
  }
  // The first entry of the naturally aligned folio of that order around this.
  constexpr SwapEntry AlignedTo(int order) const {
    return FromRaw(raw_ & ~uint64_t{PagesOf(order) - 1});
  }
  constexpr auto operator<=>(const SwapEntry&) const = default;

 private:
  uint64_t raw_ = 0;
};

inline constexpr int kSwapEntryBits = 32 + kPmdOrder;

}  // namespace farswap::core

#endif  // FARSWAP_CLIENT_CORE_SWAP_ENTRY_H_

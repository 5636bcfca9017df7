// A latency histogram that costs one atomic add: log-linear buckets, eight to
// a power of two, so a percentile is right within 1/8.
//
// Thread-safe. Percentiles are a snapshot.
#ifndef FARSWAP_CLIENT_PAGER_LATENCY_H_
#define FARSWAP_CLIENT_PAGER_LATENCY_H_

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstdint>

namespace farswap::pager {

class LatencyHistogram {
 public:
  void Add(uint64_t ns) {
    buckets_[BucketOf(ns)].fetch_add(1, std::memory_order_relaxed);
    uint64_t max = max_.load(std::memory_order_relaxed);
    while (ns > max &&
           !max_.compare_exchange_weak(max, ns, std::memory_order_relaxed)) {
    }
  }

  // The upper end of the bucket that holds that share of all values, in ns;
  // at most the maximum, 0 without values.
  uint64_t Percentile(double share) const {
    uint64_t total = 0;
    for (const auto& b : buckets_) total += b.load(std::memory_order_relaxed);
    const auto rank = static_cast<uint64_t>(share * static_cast<double>(total));
    uint64_t seen = 0;
    for (uint32_t i = 0; i < buckets_.size(); ++i) {
      seen += buckets_[i].load(std::memory_order_relaxed);
      if (seen > rank) return std::min(UpperEnd(i), Max());
    }
    return Max();
  }
  uint64_t Max() const { return max_.load(std::memory_order_relaxed); }

 private:
  static constexpr int kSubBits = 3;
  static constexpr uint32_t kSub = 1u << kSubBits;

  static uint32_t BucketOf(uint64_t ns) {
    if (ns < kSub) return static_cast<uint32_t>(ns);
    const int shift = std::bit_width(ns) - 1 - kSubBits;
    return static_cast<uint32_t>((shift + 1) * kSub + (ns >> shift) - kSub);
  }
  static uint64_t UpperEnd(uint32_t bucket) {
    if (bucket < kSub) return bucket;
    const uint32_t shift = bucket / kSub - 1;
    return ((uint64_t{bucket % kSub + kSub} + 1) << shift) - 1;
  }

  // Values of 64 bits: 61 shifts of 8 after the first 8.
  std::array<std::atomic<uint64_t>, 62 * kSub> buckets_{};
  std::atomic<uint64_t> max_{0};
};

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_LATENCY_H_

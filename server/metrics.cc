#include "server/metrics.h"

#include <algorithm>

namespace farswap::server {

void LatencyHistogram::Record(std::chrono::nanoseconds latency) {
  const uint64_t ns = static_cast<uint64_t>(latency.count());
  const auto bound =
      std::lower_bound(kLatencyBoundsUs.begin(), kLatencyBoundsUs.end(), ns,
                       [](uint32_t bound_us, uint64_t value_ns) {
                         return uint64_t{bound_us} * 1000 < value_ns;
                       });
  const size_t bucket = static_cast<size_t>(bound - kLatencyBoundsUs.begin());
  counts_[bucket].fetch_add(1, std::memory_order_relaxed);
  sum_ns_.fetch_add(ns, std::memory_order_relaxed);
}

double LatencyHistogram::sum_seconds() const {
  return static_cast<double>(sum_ns_.load(std::memory_order_relaxed)) * 1e-9;
}

void CallMetrics::Record(absl::StatusCode code,
                         std::chrono::nanoseconds latency_of_call) {
  const size_t index = std::min(static_cast<size_t>(code), by_code.size() - 1);
  by_code[index].fetch_add(1, std::memory_order_relaxed);
  latency.Record(latency_of_call);
}

const char* MethodName(Method method) {
  static constexpr std::array<const char*, kMethods> kNames = {
      "PutFolios", "GetFolios",    "OpenSession",      "AttachSession",
      "KeepAlive", "CloseSession", "AllocateClusters", "FreeClusters"};
  return kNames[method];
}

}  // namespace farswap::server

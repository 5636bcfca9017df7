// What is counted on the way of a call: relaxed atomics, no lock and no name
// looked up. metrics_exporter.cc turns them into Prometheus' families.
//
// Thread-safe.
#ifndef FARSWAP_SERVER_METRICS_H_
#define FARSWAP_SERVER_METRICS_H_

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"

namespace farswap::server {

// Upper bounds in microseconds: from what memory costs to a stuck client.
inline constexpr std::array<uint32_t, 14> kLatencyBoundsUs = {
    20,    50,    100,    200,    400,    800,     1'500,
    3'000, 6'000, 12'000, 25'000, 50'000, 100'000, 1'000'000};

class LatencyHistogram {
 public:
  void Record(std::chrono::nanoseconds latency);

  // Of the bucket alone; the last one has no bound.
  uint64_t count(size_t bucket) const {
    return counts_[bucket].load(std::memory_order_relaxed);
  }
  double sum_seconds() const;

 private:
  std::array<std::atomic<uint64_t>, kLatencyBoundsUs.size() + 1> counts_{};
  std::atomic<uint64_t> sum_ns_{0};
};

// The calls of one method.
struct CallMetrics {
  void Record(absl::StatusCode code, std::chrono::nanoseconds latency);

  // By absl's numbers, which are gRPC's.
  std::array<std::atomic<uint64_t>, 17> by_code{};
  LatencyHistogram latency;
};

enum Method {
  kPutFolios,
  kGetFolios,
  kOpenSession,
  kAttachSession,
  kKeepAlive,
  kCloseSession,
  kAllocateClusters,
  kFreeClusters,
  kMethods
};
const char* MethodName(Method method);

struct Metrics {
  std::array<CallMetrics, kMethods> calls;
  // Of folios, in calls answered OK.
  std::atomic<uint64_t> put_bytes{0};
  std::atomic<uint64_t> got_bytes{0};
  // Put and get calls that arrived and whose answer is not yet sent.
  std::atomic<uint64_t> in_flight{0};
  LatencyHistogram metadata_sync;
};

}  // namespace farswap::server

#endif  // FARSWAP_SERVER_METRICS_H_

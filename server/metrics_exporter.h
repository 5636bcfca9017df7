// /metrics: what the server counts and holds, for Prometheus.
#ifndef FARSWAP_SERVER_METRICS_EXPORTER_H_
#define FARSWAP_SERVER_METRICS_EXPORTER_H_

#include <prometheus/collectable.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "server/metrics.h"

namespace farswap::server {

// What is asked for at each scrape.
struct Gauges {
  std::string server_id;
  std::string pool;
  uint64_t incarnation = 0;
  uint64_t capacity_clusters = 0;
  uint64_t granted_clusters = 0;
  uint64_t limbo_clusters = 0;
  uint64_t sessions_alive = 0;
  uint64_t sessions_expired = 0;
  uint64_t sessions_reclaimable = 0;
  bool metadata_writable = true;
  bool draining = false;
};

class MetricsExporter : public prometheus::Collectable {
 public:
  // Both are used until the exporter ends.
  MetricsExporter(const Metrics* metrics, std::function<Gauges()> gauges)
      : metrics_(metrics), gauges_(std::move(gauges)) {}

  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  const Metrics* const metrics_;
  const std::function<Gauges()> gauges_;
};

}  // namespace farswap::server

#endif  // FARSWAP_SERVER_METRICS_EXPORTER_H_

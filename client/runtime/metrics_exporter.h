// /metrics: what a client counts, for Prometheus.
#ifndef FARSWAP_CLIENT_RUNTIME_METRICS_EXPORTER_H_
#define FARSWAP_CLIENT_RUNTIME_METRICS_EXPORTER_H_

#include <prometheus/collectable.h>

#include <functional>
#include <utility>
#include <vector>

#include "client/pager/pager_stats.h"

namespace farswap::runtime {

class MetricsExporter : public prometheus::Collectable {
 public:
  // Asked at each scrape, until the exporter ends.
  explicit MetricsExporter(std::function<pager::PagerStats()> stats)
      : stats_(std::move(stats)) {}

  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  const std::function<pager::PagerStats()> stats_;
};

}  // namespace farswap::runtime

#endif  // FARSWAP_CLIENT_RUNTIME_METRICS_EXPORTER_H_

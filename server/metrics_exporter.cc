#include "server/metrics_exporter.h"

#include <prometheus/client_metric.h>
#include <prometheus/metric_family.h>

#include <cinttypes>
#include <cstdio>
#include <limits>

#include "absl/status/status.h"
#include "common/units.h"
#include "common/version.h"

namespace farswap::server {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<ClientMetric::Label>;

MetricFamily Family(const char* name, const char* help, MetricType type) {
  MetricFamily family;
  family.name = std::string("farswap_server_") + name;
  family.help = help;
  family.type = type;
  return family;
}

void Add(MetricFamily* family, double value, Labels labels = {}) {
  ClientMetric metric;
  metric.label = std::move(labels);
  if (family->type == MetricType::Counter) {
    metric.counter.value = value;
  } else {
    metric.gauge.value = value;
  }
  family->metric.push_back(std::move(metric));
}

MetricFamily Single(const char* name, const char* help, MetricType type,
                    double value) {
  MetricFamily family = Family(name, help, type);
  Add(&family, value);
  return family;
}

void AddHistogram(MetricFamily* family, const LatencyHistogram& histogram,
                  Labels labels = {}) {
  ClientMetric metric;
  metric.label = std::move(labels);
  uint64_t cumulative = 0;
  for (size_t i = 0; i <= kLatencyBoundsUs.size(); ++i) {
    cumulative += histogram.count(i);
    ClientMetric::Bucket bucket;
    bucket.cumulative_count = cumulative;
    bucket.upper_bound = i < kLatencyBoundsUs.size()
                             ? kLatencyBoundsUs[i] * 1e-6
                             : std::numeric_limits<double>::infinity();
    metric.histogram.bucket.push_back(bucket);
  }
  metric.histogram.sample_count = cumulative;
  metric.histogram.sample_sum = histogram.sum_seconds();
  family->metric.push_back(std::move(metric));
}

// gRPC's codes are Abseil's.
std::string CodeName(size_t code) {
  return absl::StatusCodeToString(static_cast<absl::StatusCode>(code));
}

void AddCalls(const Metrics& metrics, std::vector<MetricFamily>* families) {
  MetricFamily calls =
      Family("calls_total", "Calls answered, by status.", MetricType::Counter);
  MetricFamily latency =
      Family("call_duration_seconds",
             "From a call's arrival to its answer handed to the network.",
             MetricType::Histogram);
  for (int m = 0; m < kMethods; ++m) {
    const CallMetrics& call = metrics.calls[m];
    const std::string method = MethodName(static_cast<Method>(m));
    for (size_t code = 0; code < call.by_code.size(); ++code) {
      const uint64_t count = call.by_code[code].load(std::memory_order_relaxed);
      // OK is always there, so that a rate can be taken from the beginning.
      if (count == 0 && code != 0) continue;
      Add(&calls, static_cast<double>(count),
          {{"method", method}, {"status", CodeName(code)}});
    }
    AddHistogram(&latency, call.latency, {{"method", method}});
  }
  families->push_back(std::move(calls));
  families->push_back(std::move(latency));
}

void AddCounts(const Metrics& metrics, std::vector<MetricFamily>* families) {
  const auto load = [](const std::atomic<uint64_t>& value) {
    return static_cast<double>(value.load(std::memory_order_relaxed));
  };
  families->push_back(Single("put_bytes_total", "Bytes of folios stored.",
                             MetricType::Counter, load(metrics.put_bytes)));
  families->push_back(Single("get_bytes_total", "Bytes of folios read.",
                             MetricType::Counter, load(metrics.got_bytes)));
  families->push_back(Single("calls_in_flight",
                             "Puts and gets whose answer is not yet sent.",
                             MetricType::Gauge, load(metrics.in_flight)));
  MetricFamily sync =
      Family("metadata_sync_seconds", "Synced writes of the metadata store.",
             MetricType::Histogram);
  AddHistogram(&sync, metrics.metadata_sync);
  families->push_back(std::move(sync));
}

void AddGauges(const Gauges& now, std::vector<MetricFamily>* families) {
  const auto gauge = [families](const char* name, const char* help,
                                double value) {
    families->push_back(Single(name, help, MetricType::Gauge, value));
  };
  gauge("pool_capacity_bytes", "Bytes that the server lends at most.",
        static_cast<double>(now.capacity_clusters) * kClusterBytes);
  gauge("pool_granted_bytes", "Bytes of clusters that sessions own.",
        static_cast<double>(now.granted_clusters) * kClusterBytes);
  gauge("pool_limbo_bytes",
        "Bytes of clusters out of use until the metadata store accepts "
        "changes, or their last use ends.",
        static_cast<double>(now.limbo_clusters) * kClusterBytes);
  gauge("metadata_writable",
        "1 if ownership can change; 0 after a failed write of the metadata.",
        now.metadata_writable ? 1 : 0);
  gauge("draining", "1 if no new sessions and grants are given.",
        now.draining ? 1 : 0);
  MetricFamily sessions = Family(
      "sessions", "Sessions, by the state of their lease.", MetricType::Gauge);
  Add(&sessions, static_cast<double>(now.sessions_alive), {{"state", "alive"}});
  Add(&sessions, static_cast<double>(now.sessions_expired),
      {{"state", "expired"}});
  Add(&sessions, static_cast<double>(now.sessions_reclaimable),
      {{"state", "reclaimable"}});
  families->push_back(std::move(sessions));
  char incarnation[17];
  std::snprintf(incarnation, sizeof(incarnation), "%016" PRIx64,
                now.incarnation);
  MetricFamily info =
      Family("info", "What server this is; always 1.", MetricType::Gauge);
  Add(&info, 1,
      {{"version", kVersion},
       {"server_id", now.server_id},
       {"incarnation", incarnation},
       {"pool", now.pool}});
  families->push_back(std::move(info));
}

}  // namespace

std::vector<MetricFamily> MetricsExporter::Collect() const {
  std::vector<MetricFamily> families;
  AddCalls(*metrics_, &families);
  AddCounts(*metrics_, &families);
  AddGauges(gauges_(), &families);
  return families;
}

}  // namespace farswap::server

#include "server/metrics.h"

#include <gtest/gtest.h>
#include <prometheus/text_serializer.h>

#include "server/metrics_exporter.h"

namespace farswap::server {
namespace {

using std::chrono::microseconds;

TEST(MetricsTest, ALatencyIsCountedInTheBucketThatHoldsIt) {
  LatencyHistogram histogram;
  histogram.Record(microseconds(0));
  histogram.Record(microseconds(20));
  histogram.Record(microseconds(21));
  histogram.Record(std::chrono::seconds(2));
  EXPECT_EQ(histogram.count(0), 2u);
  EXPECT_EQ(histogram.count(1), 1u);
  EXPECT_EQ(histogram.count(kLatencyBoundsUs.size()), 1u);
  EXPECT_DOUBLE_EQ(histogram.sum_seconds(), 2.000041);
}

TEST(MetricsTest, ExportsWhatWasCounted) {
  Metrics metrics;
  metrics.calls[kPutFolios].Record(absl::StatusCode::kOk, microseconds(30));
  metrics.calls[kGetFolios].Record(absl::StatusCode::kFailedPrecondition,
                                   microseconds(30));
  metrics.put_bytes = 4096;
  Gauges gauges;
  gauges.server_id = "id";
  gauges.pool = "anon";
  gauges.incarnation = 0xab;
  gauges.capacity_clusters = 2;
  const MetricsExporter exporter(&metrics, [&] { return gauges; });
  const std::string text =
      prometheus::TextSerializer().Serialize(exporter.Collect());
  constexpr char kRefusedGets[] =
      "farswap_server_calls_total{method=\"GetFolios\","
      "status=\"FAILED_PRECONDITION\"} 1\n";
  for (const char* line :
       {"farswap_server_calls_total{method=\"PutFolios\",status=\"OK\"} 1\n",
        kRefusedGets,
        "farswap_server_call_duration_seconds_count{method=\"PutFolios\"} 1\n",
        "farswap_server_put_bytes_total 4096\n",
        "farswap_server_pool_capacity_bytes 4194304\n",
        "incarnation=\"00000000000000ab\"",
        "farswap_server_sessions{state=\"alive\"} 0\n",
        "farswap_server_metadata_sync_seconds_count 0\n"}) {
    EXPECT_NE(text.find(line), std::string::npos) << line << "\n" << text;
  }
}

}  // namespace
}  // namespace farswap::server

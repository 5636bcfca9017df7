#include "client/runtime/metrics_exporter.h"

#include <prometheus/client_metric.h>
#include <prometheus/metric_family.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>

#include "client/runtime/farswap.h"
#include "client/runtime/stats.h"
#include "common/version.h"

namespace farswap::runtime {
namespace {

using pager::kStageBoundsUs;
using pager::StageSnapshot;
using pager::StageStats;
using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<ClientMetric::Label>;

// Of one number, or of an array by order.
struct Field {
  const char* name;
  size_t offset;
  size_t bytes;
  const char* help;
};

#define FARSWAP_METRIC(name, field, help) \
  { name, offsetof(farswap_stats, field), sizeof(farswap_stats::field), help }

constexpr Field kCounters[] = {
    FARSWAP_METRIC("faults_total", faults,
                   "Page fault messages served. Its rate is what the program "
                   "touches that is not local."),
    FARSWAP_METRIC("faults_failed_total", faults_failed,
                   "Faults that ended in SIGBUS or an abort. Any is a loss."),
    FARSWAP_METRIC("faults_overdue_total", faults_overdue,
                   "Faults that wait on past their deadline, in regions whose "
                   "policy that is: the server is away."),
    FARSWAP_METRIC("faults_spurious_total", fault_spurious,
                   "Faults whose page was there already when they were "
                   "served: threads that touch the same page at once."),
    FARSWAP_METRIC("faults_spurious_oom_total", fault_spurious_oom,
                   "Races lost to another worker and told as out of memory. "
                   "Stays 0; else it is a bug."),
    FARSWAP_METRIC("refault_folios_total", refaults,
                   "Folios that came back from a server. A high rate says "
                   "that the limit is below the working set."),
    FARSWAP_METRIC("swpin_folios_total", swpin, "Folios read from a server."),
    FARSWAP_METRIC("swpout_folios_total", swpout,
                   "Folios written to a server."),
    FARSWAP_METRIC("swpin_fallback_total", swpin_fallback,
                   "Swap-ins for which this order was tried in vain."),
    FARSWAP_METRIC("swpout_fallback_total", swpout_fallback,
                   "Folios of this order that went out in parts: slots are "
                   "fragmented, or pages are locked or protected."),
    FARSWAP_METRIC("swpin_zero_folios_total", swpin_zero,
                   "Folios that came back as zeros, without a server."),
    FARSWAP_METRIC("swpout_zero_folios_total", swpout_zero,
                   "Folios of zeros taken out, without a server."),
    FARSWAP_METRIC("swpout_clean_folios_total", swpout_clean,
                   "Folios taken out unchanged since they were stored, "
                   "without a write."),
    FARSWAP_METRIC("swpin_cached_folios_total", swpin_cached,
                   "Faults answered from a folio still on its way out: "
                   "reclaim takes what is used."),
    FARSWAP_METRIC("swpin_bytes_total", swpin_bytes,
                   "Bytes of folios read from a server."),
    FARSWAP_METRIC("swpout_bytes_total", swpout_bytes,
                   "Bytes of folios written to a server."),
    FARSWAP_METRIC("thp_swpin_folios_total", thp_swpin,
                   "2 MiB folios swapped in and mapped as one."),
    FARSWAP_METRIC("readahead_folios_total", swap_ra,
                   "Folios read before a fault asked for them."),
    FARSWAP_METRIC("readahead_hit_folios_total", swap_ra_hit,
                   "Of those: waited for, or a stream of faults went past."),
    FARSWAP_METRIC("prefetch_dropped_pages_total", prefetch_dropped,
                   "Pages that the program asked to be brought in and that "
                   "there was no room for."),
    FARSWAP_METRIC("takeout_busy_folios_total", takeout_busy,
                   "Folios that would not go out: pinned for I/O, locked or "
                   "protected. They stay local."),
    FARSWAP_METRIC("takeout_unshared_folios_total", takeout_unshared,
                   "Folios that were copied before they went out: a forked "
                   "child shared them, or they were pinned for I/O."),
    FARSWAP_METRIC("forks_total", forks,
                   "Forked children whose far memory is, or was, served."),
    FARSWAP_METRIC("forks_refused_total", forks_refused,
                   "Forked children whose remote pages raise SIGBUS there."),
    FARSWAP_METRIC("forked_pages_total", forked_pages,
                   "Pages copied into forked children from servers. They "
                   "count against no limit."),
    FARSWAP_METRIC("remote_retries_total", retries,
                   "Remote calls repeated: a server or the network fails."),
    FARSWAP_METRIC("checksum_errors_total", checksum_errors,
                   "Reads whose bytes were not those stored. The first of a "
                   "folio is repeated, the second loses it."),
    FARSWAP_METRIC("lost_pages_total", pages_lost,
                   "Pages whose contents are lost. Any is a loss."),
};

constexpr Field kGauges[] = {
    FARSWAP_METRIC("resident_bytes", resident_bytes,
                   "Far memory that is local, of all groups."),
    FARSWAP_METRIC("resident_peak_bytes", resident_peak_bytes,
                   "The most that was local since the start."),
    FARSWAP_METRIC("pinned_bytes", pinned_bytes,
                   "Of what is local: pinned by the program."),
    FARSWAP_METRIC("remote_bytes", remote_bytes,
                   "Far memory that is on a server only."),
    FARSWAP_METRIC("forked_children", forked_children,
                   "Forked children that are served."),
    FARSWAP_METRIC("remote_peak_bytes", remote_peak_bytes,
                   "The most that was on a server only since the start."),
};

struct Cause {
  const char* name;
  size_t offset;
};

#define FARSWAP_CAUSE(name) \
  { #name, offsetof(farswap_stats, thp_swpin_fallback_##name) }
constexpr Cause kCauses[] = {FARSWAP_CAUSE(alloc),    FARSWAP_CAUSE(charge),
                             FARSWAP_CAUSE(conflict), FARSWAP_CAUSE(zero),
                             FARSWAP_CAUSE(pmd),      FARSWAP_CAUSE(staging)};

uint64_t At(const farswap_stats& stats, size_t offset) {
  return *reinterpret_cast<const uint64_t*>(
      reinterpret_cast<const char*>(&stats) + offset);
}

MetricFamily Family(const std::string& name, const char* help,
                    MetricType type) {
  MetricFamily family;
  family.name = "farswap_client_" + name;
  family.help = help;
  family.type = type;
  return family;
}

void Add(MetricFamily* family, uint64_t value, Labels labels = {}) {
  ClientMetric metric;
  metric.label = std::move(labels);
  const auto number = static_cast<double>(value);
  (family->type == MetricType::Counter ? metric.counter.value
                                       : metric.gauge.value) = number;
  family->metric.push_back(std::move(metric));
}

Labels OfOrder(size_t order) { return {{"order", std::to_string(order)}}; }

MetricFamily FamilyOf(const Field& field, MetricType type,
                      const farswap_stats& stats) {
  MetricFamily family = Family(field.name, field.help, type);
  const size_t values = field.bytes / sizeof(uint64_t);
  for (size_t i = 0; i < values; ++i) {
    Add(&family, At(stats, field.offset + i * sizeof(uint64_t)),
        values == 1 ? Labels() : OfOrder(i));
  }
  return family;
}

void AddHistogram(MetricFamily* family, const StageSnapshot& stage,
                  Labels labels = {}) {
  ClientMetric metric;
  metric.label = std::move(labels);
  uint64_t cumulative = 0;
  for (size_t i = 0; i < stage.buckets.size(); ++i) {
    cumulative += stage.buckets[i];
    ClientMetric::Bucket bucket;
    bucket.cumulative_count = cumulative;
    bucket.upper_bound = i < kStageBoundsUs.size()
                             ? kStageBoundsUs[i] * 1e-6
                             : std::numeric_limits<double>::infinity();
    metric.histogram.bucket.push_back(bucket);
  }
  metric.histogram.sample_count = cumulative;
  metric.histogram.sample_sum = static_cast<double>(stage.sum_ns) * 1e-9;
  family->metric.push_back(std::move(metric));
}

MetricFamily StageFamily(const char* name, const char* help,
                         const StageSnapshot& stage) {
  MetricFamily family = Family(name, help, MetricType::Histogram);
  AddHistogram(&family, stage);
  return family;
}

MetricFamily StageFamily(const char* name, const char* help,
                         const StageStats::ByOrder& stages) {
  MetricFamily family = Family(name, help, MetricType::Histogram);
  for (size_t order = 0; order < stages.size(); ++order) {
    // An order that is never used is not worth twenty series; the sizes that
    // faults have are always there, for rates from the beginning.
    const bool usual = order == 0 || order == kPartOrder || order == kPmdOrder;
    if (stages[order].count == 0 && !usual) continue;
    AddHistogram(&family, stages[order], OfOrder(order));
  }
  return family;
}

void AddStages(const StageStats& stages, std::vector<MetricFamily>* families) {
  families->push_back(StageFamily(
      "fault_queue_seconds",
      "From reading a fault's message to serving it. High: too few threads "
      "or processors.",
      stages.queue));
  families->push_back(StageFamily(
      "fault_rpc_seconds", "Reads from a server, by order, retries included.",
      stages.rpc));
  families->push_back(StageFamily("fault_verify_seconds",
                                  "Checksums of what was read, by order.",
                                  stages.verify));
  families->push_back(StageFamily(
      "fault_install_seconds",
      "Mapping a folio and waking its threads, by order.", stages.install));
  families->push_back(
      StageFamily("fault_seconds",
                  "From reading a fault's message to its threads woken: what "
                  "a touch of far memory costs the program, but for the trap.",
                  stages.total));
}

}  // namespace

std::vector<MetricFamily> MetricsExporter::Collect() const {
  const pager::PagerStats now = stats_();
  const farswap_stats stats = ToStats(now);
  std::vector<MetricFamily> families;
  for (const Field& field : kCounters) {
    families.push_back(FamilyOf(field, MetricType::Counter, stats));
  }
  for (const Field& field : kGauges) {
    families.push_back(FamilyOf(field, MetricType::Gauge, stats));
  }
  MetricFamily fallbacks =
      Family("thp_swpin_fallback_total",
             "2 MiB swap-ins that were tried and were none, by cause.",
             MetricType::Counter);
  for (const Cause& cause : kCauses) {
    Add(&fallbacks, At(stats, cause.offset), {{"cause", cause.name}});
  }
  families.push_back(std::move(fallbacks));
  AddStages(now.stages, &families);
  MetricFamily info =
      Family("info", "What client this is; always 1.", MetricType::Gauge);
  Add(&info, 1, {{"version", kVersion}});
  families.push_back(std::move(info));
  return families;
}

}  // namespace farswap::runtime

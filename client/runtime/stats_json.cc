#include "client/runtime/stats_json.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <nlohmann/json.hpp>

namespace farswap::runtime {
namespace {

struct Field {
  const char* name;
  size_t offset;
  size_t bytes;
};

#define FARSWAP_FIELD(name) \
  { #name, offsetof(farswap_stats, name), sizeof(farswap_stats::name) }
constexpr Field kFields[] = {
    FARSWAP_FIELD(faults),
    FARSWAP_FIELD(faults_failed),
    FARSWAP_FIELD(refaults),
    FARSWAP_FIELD(swpin),
    FARSWAP_FIELD(swpout),
    FARSWAP_FIELD(swpin_zero),
    FARSWAP_FIELD(swpout_zero),
    FARSWAP_FIELD(swpout_clean),
    FARSWAP_FIELD(swpin_cached),
    FARSWAP_FIELD(swpin_bytes),
    FARSWAP_FIELD(swpout_bytes),
    FARSWAP_FIELD(thp_swpin),
    FARSWAP_FIELD(thp_swpin_fallback),
    FARSWAP_FIELD(resident_bytes),
    FARSWAP_FIELD(resident_peak_bytes),
    FARSWAP_FIELD(remote_bytes),
    FARSWAP_FIELD(remote_peak_bytes),
    FARSWAP_FIELD(fault_ns_p50),
    FARSWAP_FIELD(fault_ns_p99),
    FARSWAP_FIELD(fault_ns_p999),
    FARSWAP_FIELD(fault_ns_max),
    FARSWAP_FIELD(retries),
    FARSWAP_FIELD(checksum_errors),
    FARSWAP_FIELD(pages_lost),
    FARSWAP_FIELD(faults_overdue),
    FARSWAP_FIELD(fault_spurious),
    FARSWAP_FIELD(fault_spurious_oom),
    FARSWAP_FIELD(swpin_fallback),
    FARSWAP_FIELD(swpout_fallback),
    FARSWAP_FIELD(thp_swpin_fallback_alloc),
    FARSWAP_FIELD(thp_swpin_fallback_charge),
    FARSWAP_FIELD(thp_swpin_fallback_conflict),
    FARSWAP_FIELD(thp_swpin_fallback_zero),
    FARSWAP_FIELD(thp_swpin_fallback_pmd),
    FARSWAP_FIELD(thp_swpin_fallback_staging),
    FARSWAP_FIELD(swap_ra),
    FARSWAP_FIELD(swap_ra_hit),
    FARSWAP_FIELD(pinned_bytes),
    FARSWAP_FIELD(prefetch_dropped),
    FARSWAP_FIELD(takeout_busy),
    FARSWAP_FIELD(stage_queue_count),
    FARSWAP_FIELD(stage_queue_ns),
    FARSWAP_FIELD(stage_rpc_count),
    FARSWAP_FIELD(stage_rpc_ns),
    FARSWAP_FIELD(stage_verify_count),
    FARSWAP_FIELD(stage_verify_ns),
    FARSWAP_FIELD(stage_install_count),
    FARSWAP_FIELD(stage_install_ns),
    FARSWAP_FIELD(stage_total_count),
    FARSWAP_FIELD(stage_total_ns),
    FARSWAP_FIELD(takeout_unshared),
    FARSWAP_FIELD(forks),
    FARSWAP_FIELD(forks_refused),
    FARSWAP_FIELD(forked_children),
    FARSWAP_FIELD(forked_pages),
};
#undef FARSWAP_FIELD

// Every field is there, in order, and made of 64-bit numbers.
constexpr bool Complete() {
  size_t end = sizeof(farswap_stats::size);
  for (const Field& field : kFields) {
    if (field.offset != end || field.bytes % sizeof(uint64_t) != 0) {
      return false;
    }
    end += field.bytes;
  }
  return end == sizeof(farswap_stats);
}
static_assert(Complete(), "a field of farswap_stats is not in kFields");

}  // namespace

std::string StatsJson(const farswap_stats& stats) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  const char* base = reinterpret_cast<const char*>(&stats);
  for (const Field& field : kFields) {
    uint64_t values[FARSWAP_ORDERS];
    static_assert(sizeof(values) >= sizeof(stats.swpin));
    std::memcpy(values, base + field.offset, field.bytes);
    if (field.bytes == sizeof(uint64_t)) {
      json[field.name] = values[0];
    } else {
      json[field.name] = values;
    }
  }
  return json.dump();
}

}  // namespace farswap::runtime

#include "client/launcher/run/zero_stats.h"

#include <fstream>

namespace farswap::launcher {
namespace {

constexpr int kOrders = 10;

struct Member {
  const char* name;
  bool by_order;
};

// In their order.
constexpr Member kMembers[] = {
    {"faults", false},
    {"faults_failed", false},
    {"refaults", false},
    {"swpin", true},
    {"swpout", true},
    {"swpin_zero", false},
    {"swpout_zero", false},
    {"swpout_clean", false},
    {"swpin_cached", false},
    {"swpin_bytes", false},
    {"swpout_bytes", false},
    {"thp_swpin", false},
    {"thp_swpin_fallback", false},
    {"resident_bytes", false},
    {"resident_peak_bytes", false},
    {"remote_bytes", false},
    {"remote_peak_bytes", false},
    {"fault_ns_p50", false},
    {"fault_ns_p99", false},
    {"fault_ns_p999", false},
    {"fault_ns_max", false},
    {"retries", false},
    {"checksum_errors", false},
    {"pages_lost", false},
    {"faults_overdue", false},
    {"fault_spurious", false},
    {"fault_spurious_oom", false},
    {"swpin_fallback", true},
    {"swpout_fallback", true},
    {"thp_swpin_fallback_alloc", false},
    {"thp_swpin_fallback_charge", false},
    {"thp_swpin_fallback_conflict", false},
    {"thp_swpin_fallback_zero", false},
    {"thp_swpin_fallback_pmd", false},
    {"thp_swpin_fallback_staging", false},
    {"swap_ra", false},
    {"swap_ra_hit", false},
    {"pinned_bytes", false},
    {"prefetch_dropped", false},
    {"takeout_busy", false},
    {"stage_queue_count", false},
    {"stage_queue_ns", false},
    {"stage_rpc_count", true},
    {"stage_rpc_ns", true},
    {"stage_verify_count", true},
    {"stage_verify_ns", true},
    {"stage_install_count", true},
    {"stage_install_ns", true},
    {"stage_total_count", false},
    {"stage_total_ns", false},
    {"takeout_unshared", false},
    {"forks", false},
    {"forks_refused", false},
    {"forked_children", false},
    {"forked_pages", false},
};

std::string ZeroesByOrder() {
  std::string text = "[";
  for (int i = 0; i < kOrders; ++i) text += i == 0 ? "0" : ", 0";
  return text + "]";
}

}  // namespace

std::string ZeroStats() {
  std::string text = "{";
  for (const Member& member : kMembers) {
    text += text.size() == 1 ? "\n" : ",\n";
    text += std::string("  \"") + member.name + "\": ";
    text += member.by_order ? ZeroesByOrder() : "0";
  }
  return text + "\n}\n";
}

bool WriteZeroStats(const std::string& path) {
  std::ofstream file(path);
  file << ZeroStats();
  file.close();
  return !file.fail();
}

}  // namespace farswap::launcher

#include "client/runtime/options.h"

#include <errno.h>

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "client/runtime/sized_struct.h"
#include "common/address.h"
#include "common/units.h"

namespace farswap::runtime {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kMinFaultDeadlineMs = 100;
// A year: more is "for ever", which no server's retention allows.
constexpr uint64_t kMaxFaultDeadlineMs = 365ull * 24 * 3600 * 1000;
constexpr uint64_t kMinStagingBytes = 8 * kMiB;
// Room for a PMD folio on its way in, one on its way out, and one that is
// used.
constexpr uint64_t kMinLocalLimit = 8 * kMiB;
// Half of the user space of x86-64 with 4-level page tables.
constexpr uint64_t kMaxBytes = uint64_t{1} << 46;

absl::Status Wrong(const char* field, uint64_t value, const char* right) {
  return absl::InvalidArgumentError(
      absl::StrCat(field, " is ", value, "; it must be ", right));
}

absl::Status CheckMetricsListen(const std::string& text) {
  if (text.empty()) return absl::OkStatus();
  const auto address = Address::Parse(text);
  if (!address.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("metrics_listen: ", address.status().message()));
  }
  if (!address->is_unix()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "metrics_listen is a Unix socket; Prometheus needs HOST:PORT");
}

}  // namespace

farswap_client_options DefaultClientOptions() {
  farswap_client_options options = {};
  options.size = sizeof(options);
  options.fault_deadline_ms = 60000;
  options.staging_bytes = 32 * kMiB;
  options.name = program_invocation_short_name;
  options.metrics_listen = "";
  return options;
}

farswap_group_options DefaultGroupOptions() {
  farswap_group_options options = {};
  options.size = sizeof(options);
  return options;
}

farswap_region_options DefaultRegionOptions() {
  farswap_region_options options = {};
  options.size = sizeof(options);
  options.fail_policy = FARSWAP_FAIL_POISON;
  options.huge = 1;
  return options;
}

absl::StatusOr<farswap_client_options> ReadOptions(
    const farswap_client_options* options) {
  auto read =
      ReadSized(options, DefaultClientOptions(), "farswap_client_options");
  if (!read.ok()) return read;
  if (read->servers == nullptr) {
    return absl::InvalidArgumentError(
        "servers is NULL; name a server, as HOST:PORT or unix:PATH");
  }
  const auto servers = ParseServers(read->servers);
  if (!servers.ok()) return servers.status();
  if (servers->size() > 1) {
    return Wrong("the number of servers", servers->size(),
                 "1: several are not supported yet");
  }
  if (read->fault_deadline_ms < kMinFaultDeadlineMs ||
      read->fault_deadline_ms > kMaxFaultDeadlineMs) {
    return Wrong("fault_deadline_ms", read->fault_deadline_ms,
                 "100 ms to a year");
  }
  if (read->staging_bytes < kMinStagingBytes ||
      read->staging_bytes > kMaxBytes || read->staging_bytes % kPmdBytes != 0) {
    return Wrong("staging_bytes", read->staging_bytes,
                 "at least 8 MiB and a multiple of 2 MiB");
  }
  if (read->metrics_listen == nullptr) read->metrics_listen = "";
  const absl::Status metrics = CheckMetricsListen(read->metrics_listen);
  if (!metrics.ok()) return metrics;
  if (read->name == nullptr) read->name = program_invocation_short_name;
  return read;
}

absl::StatusOr<farswap_group_options> ReadOptions(
    const farswap_group_options* options) {
  auto read =
      ReadSized(options, DefaultGroupOptions(), "farswap_group_options");
  if (!read.ok()) return read;
  const auto limit = ReadLocalLimit(read->local_limit);
  if (!limit.ok()) return limit.status();
  return read;
}

absl::StatusOr<uint64_t> ReadLocalLimit(uint64_t local_limit) {
  if (local_limit < kMinLocalLimit || local_limit > kMaxBytes) {
    return Wrong("local_limit", local_limit, "at least 8 MiB");
  }
  return local_limit;
}

absl::StatusOr<farswap_region_options> ReadOptions(
    const farswap_region_options* options) {
  auto read =
      ReadSized(options, DefaultRegionOptions(), "farswap_region_options");
  if (!read.ok()) return read;
  if (read->bytes == 0 || read->bytes > kMaxBytes) {
    return Wrong("bytes", read->bytes, "1 to 2^46");
  }
  if (read->fail_policy != FARSWAP_FAIL_POISON &&
      read->fail_policy != FARSWAP_FAIL_ABORT &&
      read->fail_policy != FARSWAP_FAIL_WAIT) {
    return Wrong(
        "fail_policy", read->fail_policy,
        "FARSWAP_FAIL_POISON, FARSWAP_FAIL_ABORT or FARSWAP_FAIL_WAIT");
  }
  if (read->huge != 0 && read->huge != 1) {
    return Wrong("huge", read->huge, "0 or 1");
  }
  return read;
}

}  // namespace farswap::runtime

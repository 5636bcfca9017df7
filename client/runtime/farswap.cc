// The C API: what is checked and translated on the way to the pager.
#include "client/runtime/farswap.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "client/pager/pager.h"
#include "client/pager/thread.h"
#include "client/remote/grpc_transport.h"
#include "client/runtime/handles.h"
#include "client/runtime/metrics_page.h"
#include "client/runtime/options.h"
#include "client/runtime/sized_struct.h"
#include "client/runtime/stats.h"
#include "client/runtime/stats_json.h"
#include "client/runtime/status_errno.h"
#include "common/address.h"
#include "common/units.h"

namespace farswap::runtime {
namespace {

// Runs `body` where every signal is blocked. Threads begin with the mask of
// their creator, and so do those that gRPC starts below: a handler of the
// program's may touch far memory, and on a thread that far memory waits for
// that would be for long. Not in the caller's thread, whose ^C is to work.
template <typename Body>
absl::Status WithoutSignals(Body&& body) {
  absl::Status result;
  auto thread =
      pager::StartThread("farswap-call", [&] { result = Guarded(body); });
  if (!thread.has_value()) {
    return absl::ResourceExhaustedError("the system has no thread left");
  }
  thread->join();
  return result;
}

// gRPC that was used before a fork does not work after it.
absl::Status CheckNeverForked() {
  static std::atomic<pid_t> first{0};
  pid_t expected = 0;
  const pid_t self = getpid();
  const bool same =
      first.compare_exchange_strong(expected, self) || expected == self;
  return same ? absl::OkStatus() : Forked();
}

absl::Status Busy(int children, const char* what) {
  return absl::FailedPreconditionError(
      absl::StrCat(children, " ", what, " left; destroy them first"));
}

// Not into memory that the caller has not got: `size` is the caller's.
template <typename T>
void Init(T* options, size_t size, const T& defaults) {
  if (options == nullptr || size < sizeof(size_t)) return;
  if (size > kMaxSizedStruct) return;
  options->size = size;
  (void)WriteSized(defaults, options, "options");
}

pager::FailPolicy ToPolicy(int policy) {
  switch (policy) {
    case FARSWAP_FAIL_ABORT:
      return pager::FailPolicy::kAbort;
    case FARSWAP_FAIL_WAIT:
      return pager::FailPolicy::kWait;
    default:
      return pager::FailPolicy::kPoison;
  }
}

absl::StatusOr<std::unique_ptr<pager::Pager>> Connect(
    const farswap_client_options& options) {
  auto servers = ParseServers(options.servers);
  if (!servers.ok()) return servers.status();
  remote::GrpcTransport::Options to_server;
  to_server.servers = *std::move(servers);
  to_server.client_name = options.name;
  to_server.fault_deadline =
      std::chrono::milliseconds(options.fault_deadline_ms);
  auto transport = remote::GrpcTransport::Create(to_server);
  if (!transport.ok()) return transport.status();
  pager::PagerOptions paging;
  paging.fault_deadline = to_server.fault_deadline;
  paging.staging_bytes = options.staging_bytes;
  return pager::Pager::Create(paging, *std::move(transport));
}

absl::Status OpenClient(const farswap_client_options* options,
                        farswap_client** client) {
  if (client == nullptr) return Null("client");
  *client = nullptr;
  const auto read = ReadOptions(options);
  if (!read.ok()) return read.status();
  absl::Status status = CheckNeverForked();
  if (!status.ok()) return status;
  return WithoutSignals([&]() -> absl::Status {
    auto pager = Connect(*read);
    if (!pager.ok()) return pager.status();
    auto opened = std::make_unique<farswap_client>();
    opened->pager = *std::move(pager);
    opened->forks = std::make_unique<ForkHandlers>(opened->pager.get());
    if (read->metrics_listen[0] != '\0') {
      auto page = MetricsPage::Start(
          read->metrics_listen,
          [asked = opened->pager.get()] { return asked->Stats(); });
      if (!page.ok()) return page.status();
      opened->metrics = *std::move(page);
    }
    *client = opened.release();
    return absl::OkStatus();
  });
}

absl::Status CloseClient(farswap_client* client) {
  absl::Status status = Usable(client);
  if (!status.ok()) return status;
  if (const int groups = client->groups; groups > 0) {
    return Busy(groups, "groups are");
  }
  return WithoutSignals([&] {
    delete client;
    return absl::OkStatus();
  });
}

absl::Status CreateGroup(farswap_client* client,
                         const farswap_group_options* options,
                         farswap_group** group) {
  if (group == nullptr) return Null("group");
  *group = nullptr;
  absl::Status status = Usable(client);
  if (!status.ok()) return status;
  const auto read = ReadOptions(options);
  if (!read.ok()) return read.status();
  farswap_group* const parent = read->parent;
  if (parent != nullptr && parent->client != client) {
    return absl::InvalidArgumentError("parent: it is another client's group");
  }
  auto handle = std::make_unique<farswap_group>();
  auto created = client->pager->CreateGroup(
      read->local_limit, parent == nullptr ? nullptr : parent->group);
  if (!created.ok()) return created.status();
  status = client->pager->SetGroupSwapLimit(*created, read->swap_limit);
  if (!status.ok()) return status;
  handle->client = client;
  handle->parent = parent;
  handle->group = *created;
  ++client->groups;
  if (parent != nullptr) ++parent->groups;
  *group = handle.release();
  return absl::OkStatus();
}

absl::Status DestroyGroup(farswap_group* group) {
  if (group == nullptr) return Null("group");
  farswap_client* const client = group->client;
  absl::Status status = Usable(client);
  if (!status.ok()) return status;
  if (const int regions = group->regions; regions > 0) {
    return Busy(regions, "regions are");
  }
  if (const int groups = group->groups; groups > 0) {
    return Busy(groups, "groups below it are");
  }
  status = client->pager->DestroyGroup(group->group);
  if (!status.ok()) return status;
  if (group->parent != nullptr) --group->parent->groups;
  delete group;
  --client->groups;
  return absl::OkStatus();
}

absl::Status SetLimit(farswap_group* group, uint64_t local_limit) {
  if (group == nullptr) return Null("group");
  absl::Status status = Usable(group->client);
  if (!status.ok()) return status;
  const auto limit = ReadLocalLimit(local_limit);
  if (!limit.ok()) return limit.status();
  return group->client->pager->SetGroupLimit(group->group, *limit);
}

absl::Status SetSwapLimit(farswap_group* group, uint64_t swap_limit) {
  if (group == nullptr) return Null("group");
  absl::Status status = Usable(group->client);
  if (!status.ok()) return status;
  return group->client->pager->SetGroupSwapLimit(group->group, swap_limit);
}

absl::Status CreateRegion(farswap_group* group,
                          const farswap_region_options* options,
                          farswap_region** region) {
  if (region == nullptr) return Null("region");
  *region = nullptr;
  if (group == nullptr) return Null("group");
  absl::Status status = Usable(group->client);
  if (!status.ok()) return status;
  const auto read = ReadOptions(options);
  if (!read.ok()) return read.status();
  pager::RegionOptions wanted;
  wanted.bytes = AlignUp(read->bytes, kPmdBytes);
  wanted.fail_policy = ToPolicy(read->fail_policy);
  wanted.huge = read->huge != 0;
  auto handle = std::make_unique<farswap_region>();
  auto created = group->client->pager->CreateRegion(group->group, wanted);
  if (!created.ok()) return created.status();
  handle->group = group;
  handle->region = *created;
  ++group->regions;
  *region = handle.release();
  return absl::OkStatus();
}

absl::Status DestroyRegion(farswap_region* region) {
  if (region == nullptr) return Null("region");
  farswap_group* const group = region->group;
  absl::Status status = Usable(group->client);
  if (!status.ok()) return status;
  status = group->client->pager->DestroyRegion(region->region);
  if (!status.ok()) return status;
  delete region;
  --group->regions;
  return absl::OkStatus();
}

}  // namespace
}  // namespace farswap::runtime

namespace rt = farswap::runtime;

void farswap_client_options_init(farswap_client_options* options, size_t size) {
  rt::Init(options, size, rt::DefaultClientOptions());
}

void farswap_group_options_init(farswap_group_options* options, size_t size) {
  rt::Init(options, size, rt::DefaultGroupOptions());
}

void farswap_region_options_init(farswap_region_options* options, size_t size) {
  rt::Init(options, size, rt::DefaultRegionOptions());
}

int farswap_client_open(const farswap_client_options* options,
                        farswap_client** client) {
  return rt::Call([&] { return rt::OpenClient(options, client); });
}

int farswap_client_close(farswap_client* client) {
  return rt::Call([&] { return rt::CloseClient(client); });
}

int farswap_group_create(farswap_client* client,
                         const farswap_group_options* options,
                         farswap_group** group) {
  return rt::Call([&] { return rt::CreateGroup(client, options, group); });
}

int farswap_group_destroy(farswap_group* group) {
  return rt::Call([&] { return rt::DestroyGroup(group); });
}

int farswap_group_set_limit(farswap_group* group, uint64_t local_limit) {
  return rt::Call([&] { return rt::SetLimit(group, local_limit); });
}

int farswap_group_set_swap_limit(farswap_group* group, uint64_t swap_limit) {
  return rt::Call([&] { return rt::SetSwapLimit(group, swap_limit); });
}

int farswap_region_create(farswap_group* group,
                          const farswap_region_options* options,
                          farswap_region** region) {
  return rt::Call([&] { return rt::CreateRegion(group, options, region); });
}

int farswap_region_destroy(farswap_region* region) {
  return rt::Call([&] { return rt::DestroyRegion(region); });
}

void* farswap_region_address(const farswap_region* region) {
  return region == nullptr ? nullptr : region->region->address();
}

uint64_t farswap_region_length(const farswap_region* region) {
  return region == nullptr ? 0 : region->region->length();
}

int farswap_client_stats(const farswap_client* client, farswap_stats* stats) {
  return rt::Call([&]() -> absl::Status {
    absl::Status status = rt::Usable(client);
    if (!status.ok()) return status;
    return rt::WriteSized(rt::ToStats(client->pager->Stats()), stats,
                          "farswap_stats");
  });
}

char* farswap_client_stats_json(const farswap_client* client) {
  char* json = nullptr;
  rt::Call([&]() -> absl::Status {
    absl::Status status = rt::Usable(client);
    if (!status.ok()) return status;
    json = strdup(rt::StatsJson(rt::ToStats(client->pager->Stats())).c_str());
    return json != nullptr ? absl::OkStatus()
                           : absl::ResourceExhaustedError("out of memory");
  });
  return json;
}

const char* farswap_client_metrics_address(const farswap_client* client) {
  const bool serves = client != nullptr && client->metrics != nullptr;
  return serves ? client->metrics->address().c_str() : "";
}

const char* farswap_strerror(int error) { return rt::Describe(error); }

const char* farswap_last_error(void) { return rt::LastError(); }

#include "server/control_service.h"

#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>
#include <vector>

#include "server/control_call.h"
#include "server/error.h"
#include "server/folio_store.h"

namespace farswap::server {
namespace {

using google::protobuf::util::TimeUtil;

constexpr uint32_t kProtocolVersion = 1;

// The call's deadline on the clock that waits use.
Clock::Time DeadlineOf(const grpc::ServerContext& context) {
  const auto left = context.deadline() - std::chrono::system_clock::now();
  const auto bounded =
      std::min<std::chrono::nanoseconds>(left, std::chrono::hours(1));
  return std::chrono::steady_clock::now() + bounded;
}

// What is less than a millisecond is rounded up: zero would mean the default.
// Nobody has checked the number: beyond 300 years it is cut, lest it overflow.
std::chrono::milliseconds Milliseconds(
    const google::protobuf::Duration& duration) {
  constexpr int64_t kMost = 10'000'000'000;
  const int64_t seconds = std::clamp(duration.seconds(), -kMost, kMost);
  return std::chrono::milliseconds(
      seconds * 1000 + (int64_t{duration.nanos()} + 999'999) / 1'000'000);
}

// Binds a method of a service to its handler and begins to wait for calls.
template <typename Request, typename Response, typename RequestNext,
          typename Handle>
void Listen(CallLoop* loop, Conduct conduct, Executor* executor,
            CallMetrics* metrics, RequestNext request_next, Handle handle) {
  auto method = std::make_shared<ControlMethod<Request, Response>>();
  method->request = std::move(request_next);
  method->handle = std::move(handle);
  method->conduct = conduct;
  method->executor = executor;
  method->metrics = metrics;
  ControlCall<Request, Response>::Listen(std::move(method), loop);
}

}  // namespace

void ControlService::Register(grpc::ServerBuilder* builder) {
  builder->RegisterService(&sessions_);
  builder->RegisterService(&clusters_);
}

// A method's entry: its types have one stem, its handler another name.
#define FARSWAP_LISTEN(service, name, conduct, handler)                       \
  Listen<v1::name##Request, v1::name##Response>(                              \
      loop, Conduct::conduct, executor_, &metrics_->calls[k##name],           \
      [this](auto* context, auto* request, auto* writer, auto* queue,         \
             void* tag) {                                                     \
        (service).Request##name(context, request, writer, queue, queue, tag); \
      },                                                                      \
      [this](const grpc::ServerContext& context, const auto& request,         \
             auto* response) { return handler; })

void ControlService::Start(CallLoop* loop) {
  FARSWAP_LISTEN(sessions_, OpenSession, kQueued, Open(request, response));
  FARSWAP_LISTEN(sessions_, AttachSession, kQueued,
                 Attach(request, DeadlineOf(context), response));
  FARSWAP_LISTEN(sessions_, KeepAlive, kAtOnce, KeepAlive(request, response));
  FARSWAP_LISTEN(sessions_, CloseSession, kQueuedLate,
                 Close(request, response));
  FARSWAP_LISTEN(clusters_, AllocateClusters, kQueued,
                 Allocate(request, response));
  FARSWAP_LISTEN(clusters_, FreeClusters, kQueuedLate, Free(request, response));
}

#undef FARSWAP_LISTEN

absl::Status ControlService::Open(const v1::OpenSessionRequest& request,
                                  v1::OpenSessionResponse* response) {
  if (request.protocol_version() != kProtocolVersion) {
    return Refuse(Reason::kMalformed,
                  "this server speaks protocol_version 1 only");
  }
  const auto attachment = ownership_->Open(
      request.client_name(), Milliseconds(request.fault_deadline()));
  if (!attachment.ok()) return attachment.status();
  response->set_session_id(attachment->session);
  response->set_epoch(attachment->epoch);
  response->set_incarnation(ownership_->incarnation());
  *response->mutable_lease() = TimeUtil::MillisecondsToDuration(
      ownership_->options().times.lease.count());
  response->set_max_batch_folios(kMaxBatchFolios);
  response->set_max_batch_bytes(kMaxBatchBytes);
  response->set_max_batch_clusters(kMaxBatchClusters);
  response->set_server_id(server_id_);
  return absl::OkStatus();
}

absl::Status ControlService::Attach(const v1::AttachSessionRequest& request,
                                    Clock::Time deadline,
                                    v1::AttachSessionResponse* response) {
  const auto attachment =
      ownership_->Attach(request.session_id(), request.incarnation(), deadline);
  if (!attachment.ok()) return attachment.status();
  response->set_epoch(attachment->epoch);
  *response->mutable_lease() = TimeUtil::MillisecondsToDuration(
      ownership_->options().times.lease.count());
  return absl::OkStatus();
}

absl::Status ControlService::KeepAlive(const v1::KeepAliveRequest& request,
                                       v1::KeepAliveResponse* response) {
  const absl::Status status =
      ownership_->KeepAlive(request.session_id(), request.epoch());
  if (!status.ok()) return status;
  *response->mutable_lease() = TimeUtil::MillisecondsToDuration(
      ownership_->options().times.lease.count());
  response->set_draining(ownership_->draining());
  return absl::OkStatus();
}

absl::Status ControlService::Close(const v1::CloseSessionRequest& request,
                                   v1::CloseSessionResponse* response) {
  const auto freed = ownership_->Close(request.session_id(), request.epoch());
  if (!freed.ok()) return freed.status();
  response->set_freed(*freed);
  return absl::OkStatus();
}

absl::Status ControlService::Allocate(
    const v1::AllocateClustersRequest& request,
    v1::AllocateClustersResponse* response) {
  const auto grants =
      ownership_->Allocate(request.session_id(), request.epoch(),
                           request.request_id(), request.count());
  if (!grants.ok()) return grants.status();
  for (const GrantRecord& grant : *grants) {
    v1::ClusterGrant* const granted = response->add_grants();
    granted->set_cluster(grant.cluster);
    granted->set_generation(grant.generation);
  }
  return absl::OkStatus();
}

absl::Status ControlService::Free(const v1::FreeClustersRequest& request,
                                  v1::FreeClustersResponse* response) {
  std::vector<GrantRecord> grants;
  for (const v1::ClusterGrant& grant : request.grants()) {
    grants.push_back(
        {request.session_id(), 0, grant.cluster(), grant.generation()});
  }
  const auto freed =
      ownership_->Free(request.session_id(), request.epoch(), grants);
  if (!freed.ok()) return freed.status();
  response->set_freed(*freed);
  return absl::OkStatus();
}

}  // namespace farswap::server

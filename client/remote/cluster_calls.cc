#include "client/remote/cluster_calls.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace farswap::remote {
namespace {

using Clock = std::chrono::steady_clock;

// A grant's backing is allocated and synced before it is answered.
constexpr std::chrono::seconds kAttemptTimeout{10};

}  // namespace

ClusterCalls::ClusterCalls(const std::shared_ptr<grpc::Channel>& channel,
                           Session* session, ShutdownGate* gate,
                           Counters* counters)
    : stub_(v1::ClusterService::NewStub(channel)),
      session_(session),
      gate_(gate),
      counters_(counters) {}

absl::StatusOr<std::vector<core::ClusterGrant>> ClusterCalls::Allocate(
    uint32_t count, Deadline deadline) {
  Backoff backoff;
  Request request;
  while (true) {
    const auto view = session_->WaitOpen(deadline);
    if (!view.ok()) return view.status();
    if (request.serial != view->serial) {
      count = std::min(count, session_->limits().clusters);
      request = TakeRequest(count, view->serial);
    }
    std::vector<core::ClusterGrant> grants;
    const Answer answer = AllocateOnce(*view, request, deadline, &grants);
    if (answer.next == Next::kDone) return grants;
    if (answer.next == Next::kFull) {
      return absl::ResourceExhaustedError(answer.text);
    }
    absl::Status status =
        Recover("AllocateClusters", *view, answer, &backoff, deadline);
    // Of a lost session nothing is allocated, but of the next.
    if (status.ok() || absl::IsDataLoss(status)) continue;
    MutexLock lock(&mu_);
    unanswered_ = request;
    return status;
  }
}

ClusterCalls::Request ClusterCalls::TakeRequest(uint32_t count,
                                                uint32_t serial) {
  MutexLock lock(&mu_);
  if (unanswered_.id != 0 && unanswered_.serial == serial &&
      unanswered_.count <= count) {
    return std::exchange(unanswered_, Request());
  }
  return {next_request_id_++, count, serial};
}

Answer ClusterCalls::AllocateOnce(const SessionView& view,
                                  const Request& request, Deadline deadline,
                                  std::vector<core::ClusterGrant>* grants) {
  v1::AllocateClustersRequest message;
  message.set_session_id(view.id);
  message.set_epoch(view.epoch);
  message.set_request_id(request.id);
  message.set_count(request.count);
  v1::AllocateClustersResponse response;
  grpc::ClientContext context;
  context.set_deadline(
      GrpcDeadline(std::min(deadline, Clock::now() + kAttemptTimeout)));
  context.set_wait_for_ready(true);
  ScopedCall call(gate_, &context);
  Answer answer =
      AnswerOf(stub_->AllocateClusters(&context, message, &response));
  if (answer.next != Next::kDone) return answer;
  counters_->Answered();
  for (const v1::ClusterGrant& grant : response.grants()) {
    grants->push_back({grant.cluster(), grant.generation(), view.serial});
  }
  const bool sound =
      !grants->empty() && grants->size() <= request.count &&
      std::all_of(grants->begin(), grants->end(),
                  [](const auto& grant) { return grant.generation != 0; });
  if (sound) return answer;
  return {.next = Next::kUnknown, .text = "the grants make no sense"};
}

absl::Status ClusterCalls::Free(absl::Span<const core::ClusterGrant> grants,
                                Deadline deadline) {
  const auto view = session_->WaitOpen(deadline);
  if (!view.ok()) return view.status();
  // What an earlier session had is gone already.
  std::vector<core::ClusterGrant> ours;
  std::copy_if(
      grants.begin(), grants.end(), std::back_inserter(ours),
      [&](const auto& grant) { return grant.session == view->serial; });
  const size_t batch = session_->limits().clusters;
  for (size_t i = 0; i < ours.size(); i += batch) {
    absl::Status status =
        FreeBatch(absl::MakeConstSpan(ours).subspan(i, batch), deadline);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status ClusterCalls::FreeBatch(
    absl::Span<const core::ClusterGrant> grants, Deadline deadline) {
  Backoff backoff;
  while (true) {
    const auto view = session_->View(grants[0].session);
    // With the session the clusters were freed.
    if (absl::IsDataLoss(view.status())) return absl::OkStatus();
    if (!view.ok()) return view.status();
    const Answer answer = FreeOnce(*view, grants, deadline);
    if (answer.next == Next::kDone) return absl::OkStatus();
    absl::Status status =
        Recover("FreeClusters", *view, answer, &backoff, deadline);
    if (!status.ok()) return status;
  }
}

Answer ClusterCalls::FreeOnce(const SessionView& view,
                              absl::Span<const core::ClusterGrant> grants,
                              Deadline deadline) {
  v1::FreeClustersRequest message;
  message.set_session_id(view.id);
  message.set_epoch(view.epoch);
  for (const core::ClusterGrant& grant : grants) {
    v1::ClusterGrant* wire = message.add_grants();
    wire->set_cluster(grant.cluster);
    wire->set_generation(grant.generation);
  }
  v1::FreeClustersResponse response;
  grpc::ClientContext context;
  context.set_deadline(
      GrpcDeadline(std::min(deadline, Clock::now() + kAttemptTimeout)));
  context.set_wait_for_ready(true);
  ScopedCall call(gate_, &context);
  return AnswerOf(stub_->FreeClusters(&context, message, &response));
}

absl::Status ClusterCalls::Recover(const char* call, const SessionView& view,
                                   const Answer& answer, Backoff* backoff,
                                   Deadline deadline) {
  if (gate_->IsShut()) return ShutDownStatus();
  if (answer.next == Next::kAttach) {
    absl::Status status = session_->Attach(view, answer.stale_epoch, deadline);
    if (!absl::IsUnavailable(status)) return status;
  }
  counters_->Repeated(call, answer.text);
  const Deadline again = Clock::now() + backoff->Next(answer.retry_delay);
  if (again >= deadline) return absl::DeadlineExceededError(answer.text);
  return gate_->SleepUntil(again) ? absl::OkStatus() : ShutDownStatus();
}

}  // namespace farswap::remote

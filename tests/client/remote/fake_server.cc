#include "tests/client/remote/fake_server.h"

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/server_context.h>

#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/units.h"

namespace farswap::remote {
namespace {

constexpr uint64_t kIncarnation = 77;

}  // namespace

grpc::Status ServerError(grpc::StatusCode code, v1::Reason reason,
                         int retry_delay_ms) {
  v1::ErrorDetail detail;
  detail.set_reason(reason);
  if (retry_delay_ms > 0) {
    detail.mutable_retry_delay()->set_seconds(retry_delay_ms / 1000);
    detail.mutable_retry_delay()->set_nanos(retry_delay_ms % 1000 * 1'000'000);
  }
  v1::Status full;
  full.set_code(code);
  full.set_message(v1::Reason_Name(reason));
  full.add_details()->PackFrom(detail);
  return grpc::Status(code, full.message(), full.SerializeAsString());
}

FakeServer::FakeServer(const Options& options) : options_(options) {
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                           &port);
  builder.RegisterService(static_cast<v1::SessionService::Service*>(this));
  builder.RegisterService(static_cast<v1::ClusterService::Service*>(this));
  builder.RegisterService(static_cast<v1::FolioService::Service*>(this));
  builder.SetMaxReceiveMessageSize(16 << 20);
  server_ = builder.BuildAndStart();
  address_ = absl::StrCat("127.0.0.1:", port);
}

FakeServer::~FakeServer() {
  for (int method = 0; method < kMethods; ++method) {
    Release(static_cast<Method>(method));
  }
  server_->Shutdown(std::chrono::system_clock::now());
  server_->Wait();
}

void FakeServer::Inject(Method method, const grpc::Status& status, bool done) {
  MutexLock lock(&mu_);
  gates_[method].faults.push_back({status, done});
}

void FakeServer::MangleNextGet(int extra_bytes) {
  MutexLock lock(&mu_);
  extra_bytes_ = extra_bytes;
}

void FakeServer::Hold(Method method) {
  MutexLock lock(&mu_);
  gates_[method].held = true;
}

void FakeServer::Release(Method method) {
  MutexLock lock(&mu_);
  gates_[method].held = false;
  changed_.SignalAll();
}

bool FakeServer::WaitCalls(Method method, int count) {
  const auto until =
      std::chrono::steady_clock::now() + std::chrono::seconds(30);
  MutexLock lock(&mu_);
  while (gates_[method].calls < count) {
    if (!changed_.WaitUntil(&mu_, until)) return false;
  }
  return true;
}

void FakeServer::LoseContents() {
  MutexLock lock(&mu_);
  session_id_ = 0;
  clusters_.clear();
  granted_by_request_.clear();
}

void FakeServer::StealEpoch() {
  MutexLock lock(&mu_);
  ++epoch_;
}

int FakeServer::calls(Method method) const {
  MutexLock lock(&mu_);
  return gates_[method].calls;
}

size_t FakeServer::granted() const {
  MutexLock lock(&mu_);
  return clusters_.size();
}

uint32_t FakeServer::epoch() const {
  MutexLock lock(&mu_);
  return epoch_;
}

std::vector<uint64_t> FakeServer::request_ids() const {
  MutexLock lock(&mu_);
  return request_ids_;
}

FakeServer::Fault FakeServer::Enter(Method method,
                                    grpc::ServerContext* context) {
  MutexLock lock(&mu_);
  Gate& gate = gates_[method];
  ++gate.calls;
  changed_.SignalAll();
  while (gate.held && !context->IsCancelled()) {
    // A cancelled call signals nobody: look again.
    changed_.WaitUntil(
        &mu_, std::chrono::steady_clock::now() + std::chrono::milliseconds(10));
  }
  if (gate.faults.empty()) return {grpc::Status::OK, true};
  Fault fault = gate.faults.front();
  gate.faults.pop_front();
  return fault;
}

template <typename Work>
grpc::Status FakeServer::Serve(Method method, grpc::ServerContext* context,
                               Work work) {
  const Fault fault = Enter(method, context);
  if (!fault.done) return fault.status;
  MutexLock lock(&mu_);
  const grpc::Status status = work();
  return fault.status.ok() ? status : fault.status;
}

grpc::Status FakeServer::CheckSession(uint64_t id, uint32_t epoch) const {
  if (id != session_id_) {
    return ServerError(grpc::StatusCode::FAILED_PRECONDITION,
                       v1::REASON_UNKNOWN_SESSION);
  }
  if (epoch == epoch_) return grpc::Status::OK;
  return ServerError(grpc::StatusCode::FAILED_PRECONDITION,
                     v1::REASON_STALE_EPOCH);
}

grpc::Status FakeServer::CheckFolio(const v1::FolioRef& folio) const {
  const auto it = clusters_.find(folio.cluster());
  if (it != clusters_.end() && it->second.generation == folio.generation()) {
    return grpc::Status::OK;
  }
  return ServerError(grpc::StatusCode::FAILED_PRECONDITION,
                     v1::REASON_STALE_GENERATION);
}

grpc::Status FakeServer::OpenSession(grpc::ServerContext* context,
                                     const v1::OpenSessionRequest* request,
                                     v1::OpenSessionResponse* response) {
  return Serve(kOpen, context, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    session_id_ = next_session_id_++;
    epoch_ = 1;
    response->set_session_id(session_id_);
    response->set_epoch(epoch_);
    response->set_incarnation(kIncarnation);
    response->mutable_lease()->set_seconds(options_.lease_ms / 1000);
    response->mutable_lease()->set_nanos(options_.lease_ms % 1000 * 1'000'000);
    response->set_max_batch_folios(options_.max_batch_folios);
    response->set_max_batch_bytes(4 << 20);
    response->set_max_batch_clusters(options_.max_batch_clusters);
    return grpc::Status::OK;
  });
}

grpc::Status FakeServer::AttachSession(grpc::ServerContext* context,
                                       const v1::AttachSessionRequest* request,
                                       v1::AttachSessionResponse* response) {
  return Serve(kAttach, context, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (request->session_id() != session_id_ ||
        request->incarnation() != kIncarnation) {
      return ServerError(grpc::StatusCode::DATA_LOSS, v1::REASON_CONTENTS_LOST);
    }
    response->set_epoch(++epoch_);
    response->mutable_lease()->set_seconds(options_.lease_ms / 1000);
    response->mutable_lease()->set_nanos(options_.lease_ms % 1000 * 1'000'000);
    return grpc::Status::OK;
  });
}

grpc::Status FakeServer::KeepAlive(grpc::ServerContext* context,
                                   const v1::KeepAliveRequest* request,
                                   v1::KeepAliveResponse* response) {
  return Serve(kKeepAlive, context, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    response->mutable_lease()->set_seconds(options_.lease_ms / 1000);
    response->mutable_lease()->set_nanos(options_.lease_ms % 1000 * 1'000'000);
    return CheckSession(request->session_id(), request->epoch());
  });
}

grpc::Status FakeServer::CloseSession(grpc::ServerContext* context,
                                      const v1::CloseSessionRequest* request,
                                      v1::CloseSessionResponse* response) {
  return Serve(kClose, context, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    response->set_freed(clusters_.size());
    clusters_.clear();
    session_id_ = 0;
    return grpc::Status::OK;
  });
}

grpc::Status FakeServer::AllocateClusters(
    grpc::ServerContext* context, const v1::AllocateClustersRequest* request,
    v1::AllocateClustersResponse* response) {
  return Serve(kAllocate, context, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    request_ids_.push_back(request->request_id());
    grpc::Status status = CheckSession(request->session_id(), request->epoch());
    if (!status.ok()) return status;
    v1::AllocateClustersResponse& granted =
        granted_by_request_[request->request_id()];
    // A repeat brings what it brought the first time.
    const bool repeat = granted.grants_size() > 0;
    for (uint32_t i = 0; !repeat && i < request->count(); ++i) {
      if (clusters_.size() == options_.clusters) break;
      v1::ClusterGrant* grant = granted.add_grants();
      grant->set_generation(next_generation_++);
      grant->set_cluster(grant->generation() * 3);
      clusters_[grant->cluster()].generation = grant->generation();
    }
    *response = granted;
    if (granted.grants_size() > 0) return grpc::Status::OK;
    return ServerError(grpc::StatusCode::RESOURCE_EXHAUSTED,
                       v1::REASON_POOL_FULL);
  });
}

grpc::Status FakeServer::FreeClusters(grpc::ServerContext* context,
                                      const v1::FreeClustersRequest* request,
                                      v1::FreeClustersResponse* response) {
  return Serve(kFree, context, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    grpc::Status status = CheckSession(request->session_id(), request->epoch());
    if (!status.ok()) return status;
    if (request->grants_size() >
        static_cast<int>(options_.max_batch_clusters)) {
      return ServerError(grpc::StatusCode::INVALID_ARGUMENT,
                         v1::REASON_MALFORMED);
    }
    for (const v1::ClusterGrant& grant : request->grants()) {
      const auto it = clusters_.find(grant.cluster());
      if (it == clusters_.end()) continue;
      if (it->second.generation == grant.generation()) clusters_.erase(it);
    }
    return grpc::Status::OK;
  });
}

grpc::Status FakeServer::GetFolios(grpc::ServerContext* context,
                                   const v1::GetFoliosRequest* request,
                                   v1::GetFoliosResponse* response) {
  return Serve(kGet, context, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    grpc::Status status = CheckSession(request->session_id(), request->epoch());
    if (!status.ok()) return status;
    if (request->folios_size() > static_cast<int>(options_.max_batch_folios)) {
      return ServerError(grpc::StatusCode::INVALID_ARGUMENT,
                         v1::REASON_MALFORMED);
    }
    std::string* body = response->mutable_body();
    for (const v1::FolioRef& folio : request->folios()) {
      status = CheckFolio(folio);
      if (!status.ok()) return status;
      const auto& pages = clusters_[folio.cluster()].pages;
      for (uint32_t i = 0; i < PagesOf(folio.order()); ++i) {
        const auto page = pages.find(folio.slot() + i);
        body->append(page == pages.end() ? std::string(kPageBytes, '\0')
                                         : page->second);
      }
    }
    body->resize(body->size() + std::exchange(extra_bytes_, 0));
    return grpc::Status::OK;
  });
}

grpc::Status FakeServer::PutFolios(grpc::ServerContext* context,
                                   const v1::PutFoliosRequest* request,
                                   v1::PutFoliosResponse* response) {
  return Serve(kPut, context, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    grpc::Status status = CheckSession(request->session_id(), request->epoch());
    size_t offset = 0;
    for (const v1::FolioRef& folio : request->folios()) {
      if (status.ok()) status = CheckFolio(folio);
      if (!status.ok()) return status;
      auto& pages = clusters_[folio.cluster()].pages;
      for (uint32_t i = 0; i < PagesOf(folio.order()); ++i) {
        pages[folio.slot() + i] = request->body().substr(offset, kPageBytes);
        offset += kPageBytes;
      }
    }
    if (offset == request->body().size()) return grpc::Status::OK;
    return ServerError(grpc::StatusCode::INVALID_ARGUMENT,
                       v1::REASON_MALFORMED);
  });
}

}  // namespace farswap::remote

// A client of the server by the generated stubs, with one session.
#ifndef FARSWAP_TESTS_SERVER_SERVER_CLIENT_H_
#define FARSWAP_TESTS_SERVER_SERVER_CLIENT_H_

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "common/units.h"
#include "proto/farswap/v1/cluster.grpc.pb.h"
#include "proto/farswap/v1/error.pb.h"
#include "proto/farswap/v1/folio.grpc.pb.h"
#include "proto/farswap/v1/session.grpc.pb.h"

namespace farswap::server {

// Of a refusal; checks that its details agree with its code.
inline v1::Reason ReasonOf(const grpc::Status& status) {
  v1::Status details;
  v1::ErrorDetail detail;
  details.ParseFromString(status.error_details());
  EXPECT_EQ(details.code(), status.error_code());
  if (details.details_size() == 1) details.details(0).UnpackTo(&detail);
  return detail.reason();
}

class Client {
 public:
  explicit Client(const std::string& address) { Connect(address); }

  // Anew, as a client does after its connection broke; the session stays.
  void Connect(const std::string& address) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    const auto channel = grpc::CreateCustomChannel(
        address, grpc::InsecureChannelCredentials(), arguments);
    sessions_ = v1::SessionService::NewStub(channel);
    clusters_ = v1::ClusterService::NewStub(channel);
    folios_ = v1::FolioService::NewStub(channel);
  }

  using Time = std::chrono::milliseconds;
  static constexpr Time kLong{20'000};

  static std::unique_ptr<grpc::ClientContext> Context(Time time = kLong) {
    auto context = std::make_unique<grpc::ClientContext>();
    context->set_deadline(std::chrono::system_clock::now() + time);
    context->set_wait_for_ready(true);
    return context;
  }

  grpc::Status Open(Time time = kLong) {
    v1::OpenSessionRequest request;
    request.set_protocol_version(1);
    const auto status =
        sessions_->OpenSession(Context(time).get(), request, &session_);
    epoch_ = session_.epoch();
    return status;
  }
  grpc::Status Attach(Time time = kLong) {
    v1::AttachSessionRequest request;
    request.set_session_id(session_.session_id());
    request.set_incarnation(session_.incarnation());
    v1::AttachSessionResponse response;
    const auto status =
        sessions_->AttachSession(Context(time).get(), request, &response);
    if (status.ok()) epoch_ = response.epoch();
    return status;
  }
  grpc::Status Allocate(uint64_t request_id, uint32_t count,
                        v1::AllocateClustersResponse* response) {
    v1::AllocateClustersRequest request;
    request.set_session_id(session_.session_id());
    request.set_epoch(epoch_);
    request.set_request_id(request_id);
    request.set_count(count);
    return clusters_->AllocateClusters(Context().get(), request, response);
  }
  grpc::Status Free(const v1::ClusterGrant& grant, uint32_t* freed) {
    v1::FreeClustersRequest request;
    request.set_session_id(session_.session_id());
    request.set_epoch(epoch_);
    *request.add_grants() = grant;
    v1::FreeClustersResponse response;
    const auto status =
        clusters_->FreeClusters(Context().get(), request, &response);
    *freed = response.freed();
    return status;
  }
  grpc::Status KeepAlive(Time time = kLong) {
    v1::KeepAliveRequest request;
    request.set_session_id(session_.session_id());
    request.set_epoch(epoch_);
    v1::KeepAliveResponse response;
    return sessions_->KeepAlive(Context(time).get(), request, &response);
  }
  grpc::Status Close(Time time = kLong) {
    v1::CloseSessionRequest request;
    request.set_session_id(session_.session_id());
    request.set_epoch(epoch_);
    v1::CloseSessionResponse response;
    return sessions_->CloseSession(Context(time).get(), request, &response);
  }
  v1::PutFoliosRequest PutRequest() const {
    v1::PutFoliosRequest request;
    request.set_session_id(session_.session_id());
    request.set_epoch(epoch_);
    return request;
  }
  grpc::Status Put(const v1::PutFoliosRequest& request) {
    v1::PutFoliosResponse response;
    return folios_->PutFolios(Context().get(), request, &response);
  }
  grpc::Status Get(const v1::PutFoliosRequest& put, std::string* body) {
    v1::GetFoliosRequest request;
    request.set_session_id(put.session_id());
    request.set_epoch(put.epoch());
    *request.mutable_folios() = put.folios();
    v1::GetFoliosResponse response;
    const auto status = folios_->GetFolios(Context().get(), request, &response);
    *body = std::move(*response.mutable_body());
    return status;
  }

  const v1::OpenSessionResponse& session() const { return session_; }
  void set_epoch(uint32_t epoch) { epoch_ = epoch; }

 private:
  std::unique_ptr<v1::SessionService::Stub> sessions_;
  std::unique_ptr<v1::ClusterService::Stub> clusters_;
  std::unique_ptr<v1::FolioService::Stub> folios_;
  v1::OpenSessionResponse session_;
  uint32_t epoch_ = 0;
};

// With bytes that tell slots and orders from one another.
inline void AddFolio(v1::PutFoliosRequest* request,
                     const v1::ClusterGrant& grant, uint32_t slot,
                     uint32_t order) {
  v1::FolioRef* const folio = request->add_folios();
  folio->set_cluster(grant.cluster());
  folio->set_generation(grant.generation());
  folio->set_slot(slot);
  folio->set_order(order);
  std::string bytes(order <= 9 ? BytesOf(static_cast<int>(order)) : 0, 0);
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<char>(i * 31 + i / kPageBytes + slot + order + 1);
  }
  *request->mutable_body() += bytes;
}

}  // namespace farswap::server

#endif  // FARSWAP_TESTS_SERVER_SERVER_CLIENT_H_

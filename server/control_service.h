// farswap.v1.SessionService and ClusterService: protobuf to Ownership and
// back. Calls arrive on the data port's queue and are carried out on an
// Executor, since they may sync to a disk: they never hold up a put or get.
// KeepAlive alone, two short locks, is answered where it arrives: behind a
// disk that is slow it would come too late, and live clients look silent.
#ifndef FARSWAP_SERVER_CONTROL_SERVICE_H_
#define FARSWAP_SERVER_CONTROL_SERVICE_H_

#include <grpcpp/server_builder.h>

#include <string>

#include "absl/status/status.h"
#include "common/clock.h"
#include "proto/farswap/v1/cluster.grpc.pb.h"
#include "proto/farswap/v1/session.grpc.pb.h"
#include "server/call_loop.h"
#include "server/executor.h"
#include "server/metrics.h"
#include "server/ownership.h"

namespace farswap::server {

class ControlService {
 public:
  // All outlive the service.
  ControlService(Ownership* ownership, Executor* executor, Metrics* metrics,
                 std::string server_id)
      : ownership_(ownership),
        executor_(executor),
        metrics_(metrics),
        server_id_(std::move(server_id)) {}

  void Register(grpc::ServerBuilder* builder);
  // Once the server is built.
  void Start(CallLoop* loop);

 private:
  absl::Status Open(const v1::OpenSessionRequest& request,
                    v1::OpenSessionResponse* response);
  absl::Status Attach(const v1::AttachSessionRequest& request,
                      Clock::Time deadline,
                      v1::AttachSessionResponse* response);
  absl::Status KeepAlive(const v1::KeepAliveRequest& request,
                         v1::KeepAliveResponse* response);
  absl::Status Close(const v1::CloseSessionRequest& request,
                     v1::CloseSessionResponse* response);
  absl::Status Allocate(const v1::AllocateClustersRequest& request,
                        v1::AllocateClustersResponse* response);
  absl::Status Free(const v1::FreeClustersRequest& request,
                    v1::FreeClustersResponse* response);

  Ownership* const ownership_;
  Executor* const executor_;
  Metrics* const metrics_;
  const std::string server_id_;
  v1::SessionService::AsyncService sessions_;
  v1::ClusterService::AsyncService clusters_;
};

}  // namespace farswap::server

#endif  // FARSWAP_SERVER_CONTROL_SERVICE_H_

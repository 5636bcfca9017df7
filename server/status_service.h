// farswap.v1.StatusService, on the admin port.
#ifndef FARSWAP_SERVER_STATUS_SERVICE_H_
#define FARSWAP_SERVER_STATUS_SERVICE_H_

#include <grpcpp/server_context.h>

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "proto/farswap/v1/status.grpc.pb.h"
#include "server/metrics_exporter.h"

namespace farswap::server {

class StatusServiceImpl final : public v1::StatusService::Service {
 public:
  // `gauges` and `problems` are asked at each call, until the service ends.
  StatusServiceImpl(std::function<Gauges()> gauges,
                    std::function<std::vector<std::string>()> problems)
      : gauges_(std::move(gauges)), problems_(std::move(problems)) {}

  grpc::Status GetServerStatus(grpc::ServerContext* context,
                               const v1::GetServerStatusRequest* request,
                               v1::GetServerStatusResponse* response) override;

 private:
  const std::function<Gauges()> gauges_;
  const std::function<std::vector<std::string>()> problems_;
  const std::chrono::steady_clock::time_point started_ =
      std::chrono::steady_clock::now();
};

}  // namespace farswap::server

#endif  // FARSWAP_SERVER_STATUS_SERVICE_H_

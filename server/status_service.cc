#include "server/status_service.h"

#include <google/protobuf/util/time_util.h>

#include "common/version.h"

namespace farswap::server {

grpc::Status StatusServiceImpl::GetServerStatus(
    grpc::ServerContext* context, const v1::GetServerStatusRequest* request,
    v1::GetServerStatusResponse* response) {
  const Gauges now = gauges_();
  const auto uptime = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::steady_clock::now() - started_);
  response->set_server_id(now.server_id);
  response->set_version(kVersion);
  response->set_incarnation(now.incarnation);
  *response->mutable_uptime() =
      google::protobuf::util::TimeUtil::MillisecondsToDuration(uptime.count());
  response->set_capacity_clusters(now.capacity_clusters);
  response->set_granted_clusters(now.granted_clusters);
  response->set_sessions(static_cast<uint32_t>(
      now.sessions_alive + now.sessions_expired + now.sessions_reclaimable));
  response->set_pool(now.pool);
  response->set_draining(now.draining);
  for (const std::string& problem : problems_()) {
    response->add_problems(problem);
  }
  return grpc::Status::OK;
}

}  // namespace farswap::server

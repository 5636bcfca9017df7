#include "server/listeners.h"

#include <grpc/grpc.h>
#include <grpcpp/ext/channelz_service_plugin.h>
#include <grpcpp/ext/health_check_service_server_builder_option.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/security/server_credentials.h>

#include <mutex>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/data_service.h"

namespace farswap::server {
namespace {

// Takes the process-wide plugins off one server.
class NoPlugins : public grpc::ServerBuilderOption {
 public:
  void UpdateArguments(grpc::ChannelArguments*) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>*
                         plugins) override {
    plugins->clear();
  }
};

void Configure(grpc::ServerBuilder* builder) {
  // With it, a second server on a taken port would get some of the calls.
  builder->AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  // Clients ping every 10 s, also between calls, to learn of a dead server.
  builder->AddChannelArgument(
      GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5'000);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  // And the other way: a client that is gone gives up its pins.
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 20'000);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  builder->AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
}

}  // namespace

void InitGrpcPlugins() {
  static std::once_flag once;
  std::call_once(once, [] {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    grpc::channelz::experimental::InitChannelzService();
  });
}

void ConfigureDataPort(size_t message_bytes, grpc::ServerBuilder* builder) {
  Configure(builder);
  // Near the bound gRPC reads in smaller pieces, then ends calls: the outcome
  // of these is unknown to their clients, who repeat them.
  grpc::ResourceQuota quota("farswap-data");
  quota.Resize(message_bytes);
  builder->SetResourceQuota(quota);
  builder->SetOption(std::make_unique<NoPlugins>());
  builder->SetOption(
      std::make_unique<grpc::HealthCheckServiceServerBuilderOption>(nullptr));
  builder->SetMaxReceiveMessageSize(kMaxReceiveBytes);
  builder->AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS,
                              kMaxInFlightOfConnection);
}

void ConfigureAdminPort(grpc::ServerBuilder* builder) {
  Configure(builder);
  using Option = grpc::ServerBuilder::SyncServerOption;
  builder->SetSyncServerOption(Option::NUM_CQS, 1);
  builder->SetSyncServerOption(Option::MIN_POLLERS, 1);
  builder->SetSyncServerOption(Option::MAX_POLLERS, 2);
}

absl::StatusOr<std::unique_ptr<grpc::Server>> BuildAndListen(
    grpc::ServerBuilder* builder, const char* option, Address* address) {
  int port = 0;
  builder->AddListeningPort(address->ToString(),
                            grpc::InsecureServerCredentials(), &port);
  std::unique_ptr<grpc::Server> server = builder->BuildAndStart();
  if (server == nullptr || port == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot listen on ", option, "=", address->ToString(),
                     ": is it in use, or not of this machine? Name another "
                     "address, or port 0 for any"));
  }
  if (!address->is_unix()) {
    *address = address->WithPort(static_cast<uint16_t>(port));
  }
  return server;
}

}  // namespace farswap::server

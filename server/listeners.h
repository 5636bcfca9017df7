// The gRPC listeners' settings, and what of gRPC's built-in services goes on
// which: health, reflection and channelz on the admin port alone. gRPC adds
// them to every server of the process unless it is told otherwise.
#ifndef FARSWAP_SERVER_LISTENERS_H_
#define FARSWAP_SERVER_LISTENERS_H_

#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <memory>

#include "absl/status/statusor.h"
#include "common/address.h"

namespace farswap::server {

// Once in a process, before the first builder.
void InitGrpcPlugins();

// `message_bytes`: what messages on their way in and out may take together.
void ConfigureDataPort(size_t message_bytes, grpc::ServerBuilder* builder);
void ConfigureAdminPort(grpc::ServerBuilder* builder);

// Adds the port and starts; `address` is then the one that was picked.
absl::StatusOr<std::unique_ptr<grpc::Server>> BuildAndListen(
    grpc::ServerBuilder* builder, const char* option, Address* address);

}  // namespace farswap::server

#endif  // FARSWAP_SERVER_LISTENERS_H_

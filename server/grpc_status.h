// A refusal as it crosses the wire: farswap/v1/error.proto.
#ifndef FARSWAP_SERVER_GRPC_STATUS_H_
#define FARSWAP_SERVER_GRPC_STATUS_H_

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace farswap::server {

// With a farswap.v1.Status that carries one ErrorDetail as details, if Refuse
// made the status.
grpc::Status ToGrpcStatus(const absl::Status& status);

}  // namespace farswap::server

#endif  // FARSWAP_SERVER_GRPC_STATUS_H_

#include "server/grpc_status.h"

#include <string>

#include "proto/farswap/v1/error.pb.h"
#include "server/error.h"

namespace farswap::server {
namespace {

static_assert(static_cast<int>(Reason::kMalformed) == v1::REASON_MALFORMED);
static_assert(static_cast<int>(Reason::kUnknownSession) ==
              v1::REASON_UNKNOWN_SESSION);
static_assert(static_cast<int>(Reason::kStaleEpoch) == v1::REASON_STALE_EPOCH);
static_assert(static_cast<int>(Reason::kStaleGeneration) ==
              v1::REASON_STALE_GENERATION);
static_assert(static_cast<int>(Reason::kPoolFull) == v1::REASON_POOL_FULL);
static_assert(static_cast<int>(Reason::kQuota) == v1::REASON_QUOTA);
static_assert(static_cast<int>(Reason::kLimit) == v1::REASON_LIMIT);
static_assert(static_cast<int>(Reason::kContentsLost) ==
              v1::REASON_CONTENTS_LOST);
static_assert(static_cast<int>(Reason::kDraining) == v1::REASON_DRAINING);
static_assert(static_cast<int>(Reason::kMetadataUnavailable) ==
              v1::REASON_METADATA_UNAVAILABLE);

}  // namespace

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const auto code = static_cast<grpc::StatusCode>(status.code());
  const std::string message(status.message());
  const Reason reason = ReasonOf(status);
  if (reason == Reason::kUnspecified) return grpc::Status(code, message);
  v1::ErrorDetail detail;
  detail.set_reason(static_cast<v1::Reason>(reason));
  if (absl::IsUnavailable(status)) {
    detail.mutable_retry_delay()->set_nanos(
        static_cast<int32_t>(kRetryDelay.count()) * 1'000'000);
  }
  v1::Status details;
  details.set_code(code);
  details.set_message(message);
  details.add_details()->PackFrom(detail);
  return grpc::Status(code, message, details.SerializeAsString());
}

}  // namespace farswap::server

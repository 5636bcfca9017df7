#include "client/remote/grpc_status.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "proto/farswap/v1/error.pb.h"

namespace farswap::remote {
namespace {

// False if the server said nothing beside the code: then it may have been
// gRPC, here or there, that ended the call.
bool DetailOf(const grpc::Status& status, v1::ErrorDetail* detail) {
  v1::Status full;
  if (!full.ParseFromString(status.error_details())) return false;
  for (const google::protobuf::Any& any : full.details()) {
    if (any.UnpackTo(detail)) return true;
  }
  return false;
}

std::chrono::milliseconds DelayOf(const v1::ErrorDetail& detail) {
  // Bounded before it is multiplied: it came from outside.
  const int64_t seconds =
      std::clamp<int64_t>(detail.retry_delay().seconds(), 0, 3600);
  const int64_t nanos =
      std::clamp<int64_t>(detail.retry_delay().nanos(), 0, 999'999'999);
  return std::chrono::milliseconds(seconds * 1000 + nanos / 1'000'000);
}

Next NextOf(grpc::StatusCode code, v1::Reason reason, bool from_server) {
  switch (code) {
    case grpc::StatusCode::OK:
      return Next::kDone;
    case grpc::StatusCode::INVALID_ARGUMENT:
    case grpc::StatusCode::OUT_OF_RANGE:
    case grpc::StatusCode::DATA_LOSS:
      return Next::kGone;
    case grpc::StatusCode::FAILED_PRECONDITION:
      if (reason == v1::REASON_STALE_GENERATION) return Next::kGone;
      return reason == v1::REASON_UNKNOWN_SESSION ||
                     reason == v1::REASON_STALE_EPOCH
                 ? Next::kAttach
                 : Next::kUnknown;
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      if (reason == v1::REASON_POOL_FULL || reason == v1::REASON_QUOTA) {
        return Next::kFull;
      }
      return from_server ? Next::kRepeat : Next::kUnknown;
    case grpc::StatusCode::UNAVAILABLE:
      if (reason == v1::REASON_DRAINING) return Next::kFull;
      return from_server ? Next::kRepeat : Next::kUnknown;
    default:
      return Next::kUnknown;
  }
}

// gRPC's codes are Abseil's; empty if it is none.
std::string NameOf(grpc::StatusCode code) {
  return absl::StatusCodeToString(static_cast<absl::StatusCode>(code));
}

}  // namespace

Answer AnswerOf(const grpc::Status& status) {
  Answer answer;
  v1::ErrorDetail detail;
  const bool from_server = !status.ok() && DetailOf(status, &detail);
  answer.next = NextOf(status.error_code(), detail.reason(), from_server);
  if (status.ok()) return answer;
  answer.data_loss = status.error_code() == grpc::StatusCode::DATA_LOSS;
  answer.retry_delay = DelayOf(detail);
  answer.stale_epoch = detail.reason() == v1::REASON_STALE_EPOCH;
  answer.text =
      absl::StrCat(NameOf(status.error_code()), ": ", status.error_message());
  return answer;
}

gpr_timespec GrpcDeadline(Deadline deadline) {
  if (deadline == Deadline::max()) return gpr_inf_future(GPR_CLOCK_MONOTONIC);
  const auto nanos = std::chrono::duration_cast<std::chrono::nanoseconds>(
      deadline.time_since_epoch());
  return gpr_time_from_nanos(nanos.count(), GPR_CLOCK_MONOTONIC);
}

}  // namespace farswap::remote

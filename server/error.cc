#include "server/error.h"

#include <string>

#include "absl/strings/cord.h"
#include "absl/types/optional.h"

namespace farswap::server {
namespace {

constexpr char kPayload[] = "farswap.v1.Reason";

absl::StatusCode CodeOf(Reason reason) {
  switch (reason) {
    case Reason::kMalformed:
      return absl::StatusCode::kInvalidArgument;
    case Reason::kUnknownSession:
    case Reason::kStaleEpoch:
    case Reason::kStaleGeneration:
      return absl::StatusCode::kFailedPrecondition;
    case Reason::kPoolFull:
    case Reason::kQuota:
    case Reason::kLimit:
      return absl::StatusCode::kResourceExhausted;
    case Reason::kContentsLost:
      return absl::StatusCode::kDataLoss;
    case Reason::kDraining:
    case Reason::kMetadataUnavailable:
      return absl::StatusCode::kUnavailable;
    case Reason::kUnspecified:
      break;
  }
  return absl::StatusCode::kInternal;
}

}  // namespace

absl::Status Refuse(Reason reason, std::string_view message) {
  absl::Status status(CodeOf(reason),
                      absl::string_view(message.data(), message.size()));
  const char number = static_cast<char>(reason);
  status.SetPayload(kPayload, absl::Cord(absl::string_view(&number, 1)));
  return status;
}

Reason ReasonOf(const absl::Status& status) {
  const absl::optional<absl::Cord> payload = status.GetPayload(kPayload);
  if (!payload.has_value() || payload->size() != 1) {
    return Reason::kUnspecified;
  }
  return static_cast<Reason>((*payload)[0]);
}

}  // namespace farswap::server

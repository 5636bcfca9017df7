// Why the server refuses a call: a Reason, carried in an absl::Status.
//
// The reason decides the status code (farswap/v1/error.proto has the table),
// so that a call site names only what is wrong. The numbers are those of
// farswap.v1.Reason; grpc_status.cc, which puts them on the wire, checks it.
#ifndef FARSWAP_SERVER_ERROR_H_
#define FARSWAP_SERVER_ERROR_H_

#include <chrono>
#include <string_view>

#include "absl/status/status.h"

namespace farswap::server {

enum class Reason {
  kUnspecified = 0,
  kMalformed = 1,
  kUnknownSession = 2,
  kStaleEpoch = 3,
  kStaleGeneration = 4,
  kPoolFull = 5,
  kQuota = 6,
  kLimit = 7,
  kContentsLost = 8,
  kDraining = 9,
  kMetadataUnavailable = 10,
};

// A status with the reason's code. UNAVAILABLE ones carry kRetryDelay.
absl::Status Refuse(Reason reason, std::string_view message);

// kUnspecified for a status that Refuse did not make.
Reason ReasonOf(const absl::Status& status);

// How long a client should wait before it repeats an UNAVAILABLE call: about
// what it takes to reopen the metadata store.
inline constexpr std::chrono::milliseconds kRetryDelay{500};

}  // namespace farswap::server

#endif  // FARSWAP_SERVER_ERROR_H_

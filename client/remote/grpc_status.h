// What an answer of a memory server means for the call that got it.
//
// One table, from gRPC's code and farswap.v1's reason to the next step; the
// message's text is for people only.
#ifndef FARSWAP_CLIENT_REMOTE_GRPC_STATUS_H_
#define FARSWAP_CLIENT_REMOTE_GRPC_STATUS_H_

#include <grpc/support/time.h>
#include <grpcpp/support/status.h>

#include <chrono>
#include <string>

#include "client/remote/transport.h"

namespace farswap::remote {

enum class Next {
  kDone,    // OK.
  kAttach,  // Refused, nothing done: attach the session, then repeat.
  kRepeat,  // Refused, nothing done: repeat after a delay.
  kFull,    // No more clusters from this server at the moment.
  kGone,    // Nothing makes the call succeed: what it names is lost.
  // Outcome unknown: it may have been done, may still be, or never was. What
  // changes nothing is repeated; a put is repeated after an attach only.
  kUnknown,
};

struct Answer {
  Next next = Next::kUnknown;
  // The server asked not to be asked sooner; 0 if it did not.
  std::chrono::milliseconds retry_delay{0};
  // The session's epoch was taken by somebody: see Session.
  bool stale_epoch = false;
  // The server no longer has what was asked for, and never will.
  bool data_loss = false;
  // Code, reason and text on one line, for people.
  std::string text;
};

Answer AnswerOf(const grpc::Status& status);

// On gRPC's monotonic clock: a step of the wall clock moves no deadline.
gpr_timespec GrpcDeadline(Deadline deadline);

}  // namespace farswap::remote

#endif  // FARSWAP_CLIENT_REMOTE_GRPC_STATUS_H_

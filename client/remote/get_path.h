// Reads of folios, each on its caller's thread.
//
// A read waits for its own completion queue, so no thread is woken for
// another's answer; the answer's slices are copied straight to where the
// folios belong. Thread-safe.
#ifndef FARSWAP_CLIENT_REMOTE_GET_PATH_H_
#define FARSWAP_CLIENT_REMOTE_GET_PATH_H_

#include <grpcpp/channel.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/generic/generic_stub.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "client/remote/counters.h"
#include "client/remote/grpc_status.h"
#include "client/remote/session.h"
#include "client/remote/shutdown_gate.h"
#include "client/remote/transport.h"
#include "common/mutex.h"

namespace farswap::remote {

class GetPath {
 public:
  GetPath(std::shared_ptr<grpc::Channel> channel, Session* session,
          ShutdownGate* gate, Counters* counters);
  // No call may be under way.
  ~GetPath();

  // As Transport::Get.
  absl::Status Get(absl::Span<const FolioRef> folios, absl::Span<char> into,
                   Deadline deadline, GetSink* sink);

 private:
  // Leaves it to a thread for the time of a call.
  class QueueLease;
  // Where a batch belongs: behind `before` bytes of the whole get.
  struct Destination {
    absl::Span<char> into;
    size_t before = 0;
    GetSink* sink = nullptr;  // May be null.
  };

  // Copies the answer's body out; false, with a reason, unless it is exactly
  // as long as its destination.
  static bool CopyBody(const grpc::ByteBuffer& response, const Destination& to,
                       std::string* why);
  absl::Status GetBatch(absl::Span<const FolioRef> folios,
                        const Destination& to, Deadline deadline);
  Answer Attempt(const SessionView& view, absl::Span<const FolioRef> folios,
                 const Destination& to, Deadline deadline);

  const std::string method_;
  const std::shared_ptr<grpc::Channel> channel_;
  grpc::GenericStub stub_;
  Session* const session_;
  ShutdownGate* const gate_;
  Counters* const counters_;

  Mutex mu_;
  // As many as threads have read at a time.
  std::vector<std::unique_ptr<grpc::CompletionQueue>> idle_
      ABSL_GUARDED_BY(mu_);
};

}  // namespace farswap::remote

#endif  // FARSWAP_CLIENT_REMOTE_GET_PATH_H_

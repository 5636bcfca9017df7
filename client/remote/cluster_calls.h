// Grants and frees of clusters. Thread-safe.
#ifndef FARSWAP_CLIENT_REMOTE_CLUSTER_CALLS_H_
#define FARSWAP_CLIENT_REMOTE_CLUSTER_CALLS_H_

#include <grpcpp/channel.h>

#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "client/core/cluster_grant.h"
#include "client/remote/backoff.h"
#include "client/remote/counters.h"
#include "client/remote/grpc_status.h"
#include "client/remote/session.h"
#include "client/remote/shutdown_gate.h"
#include "client/remote/transport.h"
#include "common/mutex.h"
#include "proto/farswap/v1/cluster.grpc.pb.h"

namespace farswap::remote {

class ClusterCalls {
 public:
  ClusterCalls(const std::shared_ptr<grpc::Channel>& channel, Session* session,
               ShutdownGate* gate, Counters* counters);

  // As the Transport's functions.
  absl::StatusOr<std::vector<core::ClusterGrant>> Allocate(uint32_t count,
                                                           Deadline deadline);
  absl::Status Free(absl::Span<const core::ClusterGrant> grants,
                    Deadline deadline);

 private:
  // A request that may have been granted without our knowing: asked again
  // under its id it brings the same grants.
  struct Request {
    uint64_t id = 0;
    uint32_t count = 0;
    uint32_t serial = 0;
  };

  // An unanswered request of this session that asked for no more, or a new
  // one.
  Request TakeRequest(uint32_t count, uint32_t serial) ABSL_LOCKS_EXCLUDED(mu_);
  Answer AllocateOnce(const SessionView& view, const Request& request,
                      Deadline deadline,
                      std::vector<core::ClusterGrant>* grants);
  Answer FreeOnce(const SessionView& view,
                  absl::Span<const core::ClusterGrant> grants,
                  Deadline deadline);
  absl::Status FreeBatch(absl::Span<const core::ClusterGrant> grants,
                         Deadline deadline);
  // What to do after an answer that was not OK: OK means try again.
  absl::Status Recover(const char* call, const SessionView& view,
                       const Answer& answer, Backoff* backoff,
                       Deadline deadline);

  const std::unique_ptr<v1::ClusterService::Stub> stub_;
  Session* const session_;
  ShutdownGate* const gate_;
  Counters* const counters_;

  Mutex mu_;
  uint64_t next_request_id_ ABSL_GUARDED_BY(mu_) = 1;
  // At most one, the last: what others were granted ends with the session.
  Request unanswered_ ABSL_GUARDED_BY(mu_);
};

}  // namespace farswap::remote

#endif  // FARSWAP_CLIENT_REMOTE_CLUSTER_CALLS_H_

// Writes of folios, each repeated until it is stored, its cluster is lost or
// the transport is shut down.
//
// A put's bytes are not copied: a slice refers to them, and gRPC holds it for
// as long as it likes, also after the call has ended (cancelled behind a full
// socket, say). So an attempt is over only when its status is known and its
// slice is destroyed, and only then is the op done, or sent again.
//
// A put whose outcome is unknown may still be on its way, and would overwrite
// what a later one stored in the slot. So it is sent again, and the op is
// done, only after an attach that fenced it; see Session.
//
// Two threads: one takes what the completion queue brings, and calls OnDone
// of what was stored; the other does all that waits. Thread-safe.
#ifndef FARSWAP_CLIENT_REMOTE_PUT_PATH_H_
#define FARSWAP_CLIENT_REMOTE_PUT_PATH_H_

#include <grpcpp/channel.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/generic/generic_stub.h>

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "client/remote/counters.h"
#include "client/remote/session.h"
#include "client/remote/shutdown_gate.h"
#include "client/remote/transport.h"
#include "common/mutex.h"

namespace farswap::remote {

class PutPath {
 public:
  PutPath(std::shared_ptr<grpc::Channel> channel, int max_puts,
          Session* session, ShutdownGate* gate, Counters* counters);
  // The gate must be shut. Every put is done when this returns.
  ~PutPath();

  void Start(PutOp* op);
  // After the gate was shut: waits until every put is done. Drops the
  // connection first, which destroys the slices in it.
  void Drain();

  std::vector<int> ThreadIds() const;

 private:
  class Call;

  // Sends it under the session's present view. If it cannot be sent the
  // worker hears why.
  void Send(Call* call) ABSL_LOCKS_EXCLUDED(mu_);
  // Has the worker look at the call then.
  void Queue(Call* call, Deadline when) ABSL_LOCKS_EXCLUDED(mu_);
  // What to do after an attempt that is over. Does not block.
  void EndAttempt(Call* call) ABSL_LOCKS_EXCLUDED(mu_);
  void SendAgainLater(Call* call, bool fence) ABSL_LOCKS_EXCLUDED(mu_);
  // After that delay: fences if need be, and sends. Blocks.
  void SendAgain(Call* call) ABSL_LOCKS_EXCLUDED(mu_);
  void Done(Call* call, const absl::Status& status) ABSL_LOCKS_EXCLUDED(mu_);

  void QueueThread();
  void WorkerThread();
  // The next call that is due, or null when stopping.
  Call* NextWork() ABSL_LOCKS_EXCLUDED(mu_);

  const std::string method_;
  const int max_puts_;
  Session* const session_;
  ShutdownGate* const gate_;
  Counters* const counters_;
  std::atomic<int> queue_thread_id_{0};
  std::atomic<int> worker_thread_id_{0};
  grpc::CompletionQueue queue_;

  Mutex mu_;
  CondVar changed_;
  std::shared_ptr<grpc::GenericStub> stub_ ABSL_GUARDED_BY(mu_);
  // What the worker has to look at, and when.
  std::multimap<Deadline, Call*> work_ ABSL_GUARDED_BY(mu_);
  int under_way_ ABSL_GUARDED_BY(mu_) = 0;  // Started, OnDone not called.
  int calls_ ABSL_GUARDED_BY(mu_) = 0;      // Or OnDone not returned.
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;

  std::thread queue_thread_;
  std::thread worker_thread_;
};

}  // namespace farswap::remote

#endif  // FARSWAP_CLIENT_REMOTE_PUT_PATH_H_

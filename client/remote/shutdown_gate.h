// The end of a transport, as its calls and waits see it.
//
// Every call under way is known here, so that one ShutDown ends them all:
// gRPC answers a cancelled call at once, wherever its server is.
// Thread-safe.
#ifndef FARSWAP_CLIENT_REMOTE_SHUTDOWN_GATE_H_
#define FARSWAP_CLIENT_REMOTE_SHUTDOWN_GATE_H_

#include <grpcpp/client_context.h>

#include <atomic>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "client/remote/transport.h"
#include "common/mutex.h"

namespace farswap::remote {

class ShutdownGate {
 public:
  // Takes no lock: callers hold theirs.
  bool IsShut() const { return shut_.load(); }
  // Cancels every call, those that begin later too, and ends every Sleep.
  void Shut();
  // False, at once, when shut.
  bool SleepUntil(Deadline until);

  void Add(grpc::ClientContext* call);
  void Remove(grpc::ClientContext* call);

 private:
  std::atomic<bool> shut_{false};

  Mutex mu_;
  CondVar changed_;
  absl::flat_hash_set<grpc::ClientContext*> calls_ ABSL_GUARDED_BY(mu_);
};

// A blocking call's place in the gate.
class ScopedCall {
 public:
  ScopedCall(ShutdownGate* gate, grpc::ClientContext* call)
      : gate_(gate), call_(call) {
    gate_->Add(call_);
  }
  ~ScopedCall() { gate_->Remove(call_); }
  ScopedCall(const ScopedCall&) = delete;
  ScopedCall& operator=(const ScopedCall&) = delete;

 private:
  ShutdownGate* const gate_;
  grpc::ClientContext* const call_;
};

inline absl::Status ShutDownStatus() {
  return absl::CancelledError("the transport was shut down");
}

}  // namespace farswap::remote

#endif  // FARSWAP_CLIENT_REMOTE_SHUTDOWN_GATE_H_

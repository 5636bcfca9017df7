// The client's lease on one server, kept alive by a thread of its own.
//
// Epochs. A call carries the epoch it was sent under. When a call must be
// fenced, or was refused because of its session, its caller asks for Attach
// with the view that the call had; one attach serves all who saw that epoch
// or an older one.
//
// Serials. A session whose contents are lost is closed at once: its grants,
// which carry its serial, are DATA_LOSS from then on, without asking the
// server. The thread then opens a session of the next serial, for new grants.
//
// Thread-safe. Nothing calls out with the lock held.
#ifndef FARSWAP_CLIENT_REMOTE_SESSION_H_
#define FARSWAP_CLIENT_REMOTE_SESSION_H_

#include <grpcpp/channel.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/remote/backoff.h"
#include "client/remote/counters.h"
#include "client/remote/grpc_status.h"
#include "client/remote/shutdown_gate.h"
#include "client/remote/transport.h"
#include "common/mutex.h"
#include "proto/farswap/v1/session.grpc.pb.h"

namespace farswap::remote {

// What a call names its session by.
struct SessionView {
  uint64_t id = 0;
  uint32_t epoch = 0;
  uint32_t serial = 0;
};

// The server's bounds of one call.
struct BatchLimits {
  uint32_t folios = 1;
  uint32_t bytes = 0;
  uint32_t clusters = 1;
};

class Session {
 public:
  struct Options {
    std::string client_name;
    std::chrono::milliseconds fault_deadline{0};
  };

  // Opens a session, trying until the deadline.
  //   UNAVAILABLE       nobody answered
  //   INVALID_ARGUMENT  the server refuses the options, and says why
  static absl::StatusOr<std::unique_ptr<Session>> Open(
      const Options& options, const std::shared_ptr<grpc::Channel>& channel,
      ShutdownGate* gate, Counters* counters, Deadline deadline);

  // Ends the thread; the gate must be shut.
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // The session of that serial; DATA_LOSS if it is lost, CANCELLED.
  absl::StatusOr<SessionView> View(uint32_t serial) const;
  // Whichever session is open; waits while none is.
  absl::StatusOr<SessionView> WaitOpen(Deadline deadline);

  // Makes calls sent under `seen` impossible: OK means that the server has
  // none of them under way any more and refuses those to come. `stale_epoch`:
  // the server said that the epoch was taken.
  //   DATA_LOSS    the session is lost
  //   CANCELLED    shut down
  //   UNAVAILABLE  not this time; repeat after a delay
  absl::Status Attach(const SessionView& seen, bool stale_epoch,
                      Deadline deadline);

  // Tells the server to free everything. Best effort.
  void Close(Deadline deadline);

  // Ends the waits inside once the gate is shut.
  void Wake();

  BatchLimits limits() const;
  int thread_id() const { return thread_id_.load(); }

 private:
  using Clock = std::chrono::steady_clock;

  Session(const Options& options, const std::shared_ptr<grpc::Channel>& channel,
          ShutdownGate* gate, Counters* counters);

  // One OpenSession; if OK the session is current under the next serial.
  Answer OpenOnce(Deadline deadline) ABSL_LOCKS_EXCLUDED(mu_);
  void Adopt(const v1::OpenSessionResponse& response)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Whether the view is of a session that can be attached; see Attach.
  absl::Status CheckAttachable(const SessionView& seen) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool Superseded(const SessionView& seen) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // False when the epoch was stolen too often to be a ghost of our own.
  bool CountTheft() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status AttachOnce(Deadline deadline) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status TakeAttachAnswer(const Answer& answer,
                                const v1::AttachSessionResponse& response)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Lose(const std::string& why) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void SetLease(const google::protobuf::Duration& lease)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  void Run() ABSL_LOCKS_EXCLUDED(mu_);
  // False when shut. A lost session ends the wait for the next beat.
  bool SleepUntil(Deadline until, bool while_open) ABSL_LOCKS_EXCLUDED(mu_);
  // One step of the thread; each returns when the next is due.
  Deadline Reopen(Backoff* backoff) ABSL_LOCKS_EXCLUDED(mu_);
  Deadline Beat() ABSL_LOCKS_EXCLUDED(mu_);

  const Options options_;
  const std::unique_ptr<v1::SessionService::Stub> stub_;
  ShutdownGate* const gate_;
  Counters* const counters_;
  std::atomic<int> thread_id_{0};

  mutable Mutex mu_;
  CondVar changed_;
  bool open_ ABSL_GUARDED_BY(mu_) = false;
  bool attaching_ ABSL_GUARDED_BY(mu_) = false;
  SessionView view_ ABSL_GUARDED_BY(mu_);
  uint64_t incarnation_ ABSL_GUARDED_BY(mu_) = 0;
  Clock::duration lease_ ABSL_GUARDED_BY(mu_){};
  BatchLimits limits_ ABSL_GUARDED_BY(mu_);
  absl::Status last_attach_ ABSL_GUARDED_BY(mu_);
  // An attach was sent since an epoch was last adopted: the server may have
  // taken one that it could not tell us, so a stale epoch is our own doing.
  bool attach_unconfirmed_ ABSL_GUARDED_BY(mu_) = false;
  int thefts_ ABSL_GUARDED_BY(mu_) = 0;
  Clock::time_point last_theft_ ABSL_GUARDED_BY(mu_);

  std::thread thread_;
};

}  // namespace farswap::remote

#endif  // FARSWAP_CLIENT_REMOTE_SESSION_H_

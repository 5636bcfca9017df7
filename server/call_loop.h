// The completion queue of the data port, and the threads that serve it.
//
// One queue for all methods: whichever of its threads reads a request off the
// network also answers it, with no hand-over in between (10-30 us each). What
// may wait for a disk is handed on, by the call itself, to an Executor.
//
// A call object is made for each call that is waited for, and deletes itself
// when the last event of its call has been seen. The loop counts them: the
// queue is shut down when none is left, for nothing may be started on it then.
#ifndef FARSWAP_SERVER_CALL_LOOP_H_
#define FARSWAP_SERVER_CALL_LOOP_H_

#include <grpcpp/completion_queue.h>
#include <grpcpp/server_builder.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "common/mutex.h"

namespace farswap::server {

class CallLoop;

// What a completion queue's tag points to.
class Call {
 public:
  explicit Call(CallLoop* loop);
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;
  virtual ~Call();

  // One event; `ok` as CompletionQueue::Next gives it.
  virtual void OnEvent(bool ok) = 0;

 protected:
  grpc::ServerCompletionQueue* queue() const;
  CallLoop* loop() const { return loop_; }

  // To be called at the first event of a call that came: it is under way
  // until the object ends. Whether the next is to be waited for.
  bool Arrive();
  bool arrived() const { return arrived_; }

 private:
  CallLoop* const loop_;
  bool arrived_ = false;
};

class CallLoop {
 public:
  explicit CallLoop(grpc::ServerBuilder* builder)
      : queue_(builder->AddCompletionQueue()) {}
  CallLoop(const CallLoop&) = delete;
  CallLoop& operator=(const CallLoop&) = delete;
  ~CallLoop();

  // Once the server is built.
  void Start(int threads);

  // Takes no more calls, and waits for those under way, at most until then.
  void Quiesce(std::chrono::steady_clock::time_point until);

  // Once the server is shut down: waits for the calls that are left, each of
  // which the server has cancelled, and ends the threads.
  void Stop();

 private:
  friend class Call;
  void Run();

  const std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  std::vector<std::thread> threads_;
  Mutex mu_;
  CondVar changed_;
  int64_t calls_ ABSL_GUARDED_BY(mu_) = 0;
  // Of these, the ones that arrived.
  int64_t under_way_ ABSL_GUARDED_BY(mu_) = 0;
  bool quiescing_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace farswap::server

#endif  // FARSWAP_SERVER_CALL_LOOP_H_

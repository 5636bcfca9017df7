// One control call: waited for, carried out, answered.
#ifndef FARSWAP_SERVER_CONTROL_CALL_H_
#define FARSWAP_SERVER_CONTROL_CALL_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/async_unary_call.h>

#include <chrono>
#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "server/call_loop.h"
#include "server/error.h"
#include "server/executor.h"
#include "server/grpc_status.h"
#include "server/metrics.h"

namespace farswap::server {

// Where, and until when, a method's calls are carried out.
enum class Conduct {
  // On the thread that reads it, at once: it waits for nothing, and must not
  // wait behind what does.
  kAtOnce,
  // On an executor; dropped if its deadline passes before its turn comes:
  // nobody would learn of what it did, an epoch taken or a session opened.
  kQueued,
  // On an executor, however late: what it ends is wanted ended.
  kQueuedLate,
};

// What the calls of one method share.
template <typename Request, typename Response>
struct ControlMethod {
  using Writer = grpc::ServerAsyncResponseWriter<Response>;

  // Asks gRPC for the next call: the service's Request... function.
  std::function<void(grpc::ServerContext*, Request*, Writer*,
                     grpc::ServerCompletionQueue*, void*)>
      request;
  std::function<absl::Status(const grpc::ServerContext&, const Request&,
                             Response*)>
      handle;
  Conduct conduct;
  Executor* executor;
  CallMetrics* metrics;
};

template <typename Request, typename Response>
class ControlCall : public Call {
 public:
  using Method = std::shared_ptr<const ControlMethod<Request, Response>>;

  // Waits for a call of the method; each that comes waits for the next.
  static void Listen(Method method, CallLoop* loop) {
    new ControlCall(std::move(method), loop);
  }

  void OnEvent(bool ok) override {
    if (arrived() || !ok) {
      delete this;
      return;
    }
    start_ = std::chrono::steady_clock::now();
    if (Arrive()) Listen(method_, loop());
    if (method_->conduct == Conduct::kAtOnce) {
      Answer();
      return;
    }
    const auto turn = [this](bool run) { run ? TakeTurn() : TurnAway(); };
    if (method_->executor->Submit(turn)) return;
    Finish(Refuse(Reason::kLimit, "too many calls are waiting"));
  }

 private:
  ControlCall(Method method, CallLoop* loop)
      : Call(loop), method_(std::move(method)), writer_(&context_) {
    method_->request(&context_, &request_, &writer_, queue(), this);
  }

  void TakeTurn() {
    if (method_->conduct == Conduct::kQueued &&
        context_.deadline() <= std::chrono::system_clock::now()) {
      Finish(absl::DeadlineExceededError(
          "the deadline passed before the call's turn came: nothing was done"));
      return;
    }
    Answer();
  }

  void TurnAway() {
    Finish(Refuse(Reason::kDraining, "the server is stopping"));
  }

  void Answer() { Finish(method_->handle(context_, request_, &response_)); }

  // The last touch: once it is started, the call may be gone.
  void Finish(const absl::Status& status) {
    method_->metrics->Record(status.code(),
                             std::chrono::steady_clock::now() - start_);
    if (status.ok()) {
      writer_.Finish(response_, grpc::Status::OK, this);
    } else {
      writer_.FinishWithError(ToGrpcStatus(status), this);
    }
  }

  const Method method_;
  grpc::ServerContext context_;
  Request request_;
  Response response_;
  grpc::ServerAsyncResponseWriter<Response> writer_;
  std::chrono::steady_clock::time_point start_;
};

}  // namespace farswap::server

#endif  // FARSWAP_SERVER_CONTROL_CALL_H_

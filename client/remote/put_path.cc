#include "client/remote/put_path.h"

#include <unistd.h>

#include <chrono>
#include <utility>

#include "client/remote/backoff.h"
#include "client/remote/folio_batch.h"
#include "client/remote/grpc_status.h"
#include "common/folio_wire.h"
#include "common/log_raw.h"
#include "common/units.h"

namespace farswap::remote {
namespace {

using Clock = std::chrono::steady_clock;

// Of one attempt: longer than keepalive needs to find a dead connection, so
// that this ends only what a live one never answers.
constexpr std::chrono::seconds kAttemptTimeout{15};
constexpr std::chrono::seconds kFenceTimeout{5};

}  // namespace

// A put under way. At any time one attempt, a thread of ours, or the worker's
// list has it.
class PutPath::Call {
 public:
  Call(PutPath* path, PutOp* op) : path_(path), op_(op) {}

  PutOp* op() const { return op_; }
  const SessionView& view() const { return view_; }
  const Answer& answer() const { return answer_; }

  // Sends the bytes, once. Whoever lets go last ends the attempt: this
  // function, the status or the slice's destruction.
  void Begin(grpc::GenericStub* stub, const std::string& method,
             const SessionView& view, grpc::CompletionQueue* queue);
  // The status is here: on the queue's thread. True if the attempt is over.
  bool TakeStatus();

  Backoff backoff;
  // Set for the worker: an attempt that is over, or the end of a delay?
  bool attempt_over = false;
  bool fence = false;
  // Why it was not sent.
  absl::Status refused;

 private:
  static void SliceFreed(void* call);
  bool LetGo() { return holders_.fetch_sub(1) == 1; }

  PutPath* const path_;
  PutOp* const op_;
  SessionView view_;
  Answer answer_;
  std::atomic<int> holders_{0};
  std::unique_ptr<grpc::ClientContext> context_;
  std::unique_ptr<grpc::GenericClientAsyncResponseReader> reader_;
  grpc::ByteBuffer response_;
  grpc::Status status_;
};

void PutPath::Call::Begin(grpc::GenericStub* stub, const std::string& method,
                          const SessionView& view,
                          grpc::CompletionQueue* queue) {
  view_ = view;
  holders_ = 3;
  attempt_over = true;
  context_ = std::make_unique<grpc::ClientContext>();
  context_->set_deadline(GrpcDeadline(Clock::now() + kAttemptTimeout));
  context_->set_wait_for_ready(true);
  path_->gate_->Add(context_.get());
  {
    const size_t bytes = BytesOf(op_->ref.order);
    const grpc::Slice slices[] = {
        EncodePutHeader(HeaderOf(view, {&op_->ref, 1}), bytes),
        // gRPC's slices are not const, but it does not write to them.
        grpc::Slice(const_cast<char*>(op_->data), bytes, SliceFreed, this)};
    const grpc::ByteBuffer request(slices, 2);
    reader_ = stub->PrepareUnaryCall(context_.get(), method, request, queue);
  }
  reader_->StartCall();
  reader_->Finish(&response_, &status_, this);
  if (LetGo()) path_->Queue(this, Clock::now());
}

// gRPC's call keeps what of its message it has not given to the connection, so
// it goes at once: else we waited for the slice and the slice for us.
bool PutPath::Call::TakeStatus() {
  answer_ = AnswerOf(status_);
  path_->gate_->Remove(context_.get());
  reader_.reset();
  context_.reset();
  response_.Clear();
  return LetGo();
}

// Runs anywhere inside gRPC, with its locks held for all we know: so never
// more than a signal to the worker.
void PutPath::Call::SliceFreed(void* call) {
  Call* self = static_cast<Call*>(call);
  if (self->LetGo()) self->path_->Queue(self, Clock::now());
}

PutPath::PutPath(std::shared_ptr<grpc::Channel> channel, int max_puts,
                 Session* session, ShutdownGate* gate, Counters* counters)
    : method_("/farswap.v1.FolioService/PutFolios"),
      max_puts_(max_puts),
      session_(session),
      gate_(gate),
      counters_(counters),
      stub_(std::make_shared<grpc::GenericStub>(std::move(channel))) {
  queue_thread_ = std::thread([this] { QueueThread(); });
  worker_thread_ = std::thread([this] { WorkerThread(); });
  MutexLock lock(&mu_);
  while (queue_thread_id_ == 0 || worker_thread_id_ == 0) changed_.Wait(&mu_);
}

PutPath::~PutPath() {
  Drain();
  {
    MutexLock lock(&mu_);
    stopping_ = true;
    changed_.SignalAll();
  }
  worker_thread_.join();
  queue_.Shutdown();
  queue_thread_.join();
}

void PutPath::Start(PutOp* op) {
  {
    MutexLock lock(&mu_);
    if (under_way_ == max_puts_) {
      DieRaw("more than max_puts() = %d puts are under way", max_puts_);
    }
    ++under_way_;
    ++calls_;
  }
  Send(new Call(this, op));  // Deleted by Done.
}

void PutPath::Drain() {
  // Without the lock: the last reference to a channel frees the slices in it,
  // whose owners hear of it on this thread.
  std::shared_ptr<grpc::GenericStub> stub;
  {
    MutexLock lock(&mu_);
    stub.swap(stub_);
    changed_.SignalAll();
  }
  stub.reset();
  MutexLock lock(&mu_);
  while (calls_ > 0) changed_.Wait(&mu_);
}

std::vector<int> PutPath::ThreadIds() const {
  return {queue_thread_id_.load(), worker_thread_id_.load()};
}

void PutPath::Send(Call* call) {
  const auto view = session_->View(call->op()->ref.grant.session);
  std::shared_ptr<grpc::GenericStub> stub;
  {
    MutexLock lock(&mu_);
    stub = stub_;
  }
  if (view.ok() && stub != nullptr) {
    call->Begin(stub.get(), method_, *view, &queue_);
    return;
  }
  call->refused = view.ok() ? ShutDownStatus() : view.status();
  Queue(call, Clock::now());
}

void PutPath::Queue(Call* call, Deadline when) {
  MutexLock lock(&mu_);
  work_.emplace(when, call);
  changed_.SignalAll();
}

void PutPath::EndAttempt(Call* call) {
  call->attempt_over = false;
  counters_->puts.fetch_add(1, std::memory_order_relaxed);
  const Answer& answer = call->answer();
  switch (answer.next) {
    case Next::kDone:
      counters_->Answered();
      counters_->put_bytes.fetch_add(BytesOf(call->op()->ref.order),
                                     std::memory_order_relaxed);
      return Done(call, absl::OkStatus());
    case Next::kGone:
      LogRaw(LogLevel::kError, "server %s: a put is lost: %s",
             counters_->server().c_str(), answer.text.c_str());
      return Done(call, absl::DataLossError(answer.text));
    case Next::kRepeat:
    case Next::kFull:
      return SendAgainLater(call, /*fence=*/false);
    case Next::kAttach:
    case Next::kUnknown:
      return SendAgainLater(call, /*fence=*/true);
  }
}

void PutPath::SendAgainLater(Call* call, bool fence) {
  if (gate_->IsShut()) return Done(call, ShutDownStatus());
  counters_->Repeated("PutFolios", call->answer().text);
  call->fence = fence;
  Queue(call, Clock::now() + call->backoff.Next(call->answer().retry_delay));
}

void PutPath::SendAgain(Call* call) {
  if (gate_->IsShut()) return Done(call, ShutDownStatus());
  if (call->fence) {
    const absl::Status status = session_->Attach(
        call->view(), call->answer().stale_epoch, Clock::now() + kFenceTimeout);
    if (absl::IsUnavailable(status)) return SendAgainLater(call, true);
    if (!status.ok()) return Done(call, status);
    call->fence = false;
  }
  Send(call);
}

void PutPath::Done(Call* call, const absl::Status& status) {
  PutOp* const op = call->op();
  delete call;
  {
    MutexLock lock(&mu_);
    --under_way_;
  }
  op->OnDone(status);  // May start a put, or destroy the op.
  MutexLock lock(&mu_);
  --calls_;
  changed_.SignalAll();
}

void PutPath::QueueThread() {
  {
    MutexLock lock(&mu_);
    queue_thread_id_ = gettid();
    changed_.SignalAll();
  }
  void* tag = nullptr;
  bool ok = false;
  while (queue_.Next(&tag, &ok)) {
    Call* call = static_cast<Call*>(tag);
    if (call->TakeStatus()) EndAttempt(call);
  }
}

PutPath::Call* PutPath::NextWork() {
  MutexLock lock(&mu_);
  while (true) {
    const auto first = work_.begin();
    if (first == work_.end()) {
      if (stopping_) return nullptr;
      changed_.Wait(&mu_);
    } else if (first->first > Clock::now() && !gate_->IsShut()) {
      changed_.WaitUntil(&mu_, first->first);
    } else {
      Call* call = first->second;
      work_.erase(first);
      return call;
    }
  }
}

void PutPath::WorkerThread() {
  {
    MutexLock lock(&mu_);
    worker_thread_id_ = gettid();
    changed_.SignalAll();
  }
  while (Call* call = NextWork()) {
    if (!call->refused.ok()) {
      const absl::Status why = call->refused;
      Done(call, why);
    } else if (call->attempt_over) {
      EndAttempt(call);
    } else {
      SendAgain(call);
    }
  }
}

}  // namespace farswap::remote

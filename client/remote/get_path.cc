#include "client/remote/get_path.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/remote/backoff.h"
#include "client/remote/folio_batch.h"
#include "common/folio_wire.h"
#include "common/log_raw.h"
#include "common/units.h"

namespace farswap::remote {
namespace {

// Of one attempt. A connection that is dead is found by keepalive; this is
// for the answer that never comes over one that is alive.
constexpr std::chrono::seconds kAttemptTimeout{10};

// How much is copied before the sink is told: it fits into any second-level
// cache, and is what one checksum covers.
constexpr size_t kCopyBytes = kPartBytes;

}  // namespace

bool GetPath::CopyBody(const grpc::ByteBuffer& response, const Destination& to,
                       std::string* why) {
  WireMessage message;
  SliceCursor body;
  absl::Status status = message.Init(response);
  if (status.ok()) status = ParseGetResponse(message.slices(), &body);
  if (!status.ok()) {
    *why = std::string(status.message());
    return false;
  }
  if (body.remaining() != to.into.size()) {
    *why = absl::StrCat("the answer has ", body.remaining(), " bytes, not ",
                        to.into.size());
    return false;
  }
  for (size_t at = 0; at < to.into.size();) {
    const size_t size = std::min(kCopyBytes, to.into.size() - at);
    if (!body.CopyTo(to.into.data() + at, size)) return false;
    const size_t from = to.before + at;
    if (to.sink != nullptr) to.sink->Filled(from, from + size);
    at += size;
  }
  return true;
}

class GetPath::QueueLease {
 public:
  explicit QueueLease(GetPath* path) : path_(path) {
    MutexLock lock(&path_->mu_);
    if (path_->idle_.empty()) {
      queue_ = std::make_unique<grpc::CompletionQueue>();
      return;
    }
    queue_ = std::move(path_->idle_.back());
    path_->idle_.pop_back();
  }
  ~QueueLease() {
    MutexLock lock(&path_->mu_);
    path_->idle_.push_back(std::move(queue_));
  }
  grpc::CompletionQueue* get() { return queue_.get(); }

 private:
  GetPath* const path_;
  std::unique_ptr<grpc::CompletionQueue> queue_;
};

GetPath::GetPath(std::shared_ptr<grpc::Channel> channel, Session* session,
                 ShutdownGate* gate, Counters* counters)
    : method_("/farswap.v1.FolioService/GetFolios"),
      channel_(std::move(channel)),
      stub_(channel_),
      session_(session),
      gate_(gate),
      counters_(counters) {}

GetPath::~GetPath() {
  for (auto& queue : idle_) {
    queue->Shutdown();
    void* tag = nullptr;
    bool ok = false;
    while (queue->Next(&tag, &ok)) {
    }
  }
}

absl::Status GetPath::Get(absl::Span<const FolioRef> folios,
                          absl::Span<char> into, Deadline deadline,
                          GetSink* sink) {
  if (BytesOfFolios(folios) != into.size()) {
    DieRaw("a get's buffer of %zu bytes is not as long as its folios",
           into.size());
  }
  const BatchLimits limits = session_->limits();
  size_t before = 0;
  while (!folios.empty()) {
    const auto batch = folios.first(BatchOf(folios, limits));
    const size_t bytes = BytesOfFolios(batch);
    const Destination to{into.subspan(before, bytes), before, sink};
    absl::Status status = GetBatch(batch, to, deadline);
    if (!status.ok()) return status;
    folios.remove_prefix(batch.size());
    before += bytes;
  }
  return absl::OkStatus();
}

absl::Status GetPath::GetBatch(absl::Span<const FolioRef> folios,
                               const Destination& to, Deadline deadline) {
  Backoff backoff;
  while (true) {
    const auto view = session_->View(folios[0].grant.session);
    if (!view.ok()) return view.status();
    const Answer answer = Attempt(*view, folios, to, deadline);
    if (answer.next == Next::kDone) return absl::OkStatus();
    if (gate_->IsShut()) return ShutDownStatus();
    if (answer.next == Next::kGone) {
      LogRaw(LogLevel::kError, "server %s: a get is lost: %s",
             counters_->server().c_str(), answer.text.c_str());
      return absl::DataLossError(answer.text);
    }
    if (answer.next == Next::kAttach) {
      absl::Status status =
          session_->Attach(*view, answer.stale_epoch, deadline);
      if (status.ok()) continue;
      if (!absl::IsUnavailable(status)) return status;
    }
    counters_->Repeated("GetFolios", answer.text);
    const Deadline again =
        std::chrono::steady_clock::now() + backoff.Next(answer.retry_delay);
    if (again >= deadline) return absl::DeadlineExceededError(answer.text);
    if (!gate_->SleepUntil(again)) return ShutDownStatus();
  }
}

Answer GetPath::Attempt(const SessionView& view,
                        absl::Span<const FolioRef> folios,
                        const Destination& to, Deadline deadline) {
  const grpc::Slice header = EncodeGet(HeaderOf(view, folios));
  const grpc::ByteBuffer request(&header, 1);
  grpc::ByteBuffer response;
  grpc::Status status;
  QueueLease queue(this);
  {
    grpc::ClientContext context;
    context.set_deadline(GrpcDeadline(std::min(
        deadline, std::chrono::steady_clock::now() + kAttemptTimeout)));
    context.set_wait_for_ready(true);
    ScopedCall call(gate_, &context);
    auto reader =
        stub_.PrepareUnaryCall(&context, method_, request, queue.get());
    reader->StartCall();
    reader->Finish(&response, &status, this);
    void* tag = nullptr;
    bool ok = false;
    queue.get()->Next(&tag, &ok);
  }
  counters_->gets.fetch_add(1, std::memory_order_relaxed);
  Answer answer = AnswerOf(status);
  if (answer.next != Next::kDone) return answer;
  if (!CopyBody(response, to, &answer.text)) {
    answer.next = Next::kUnknown;
    return answer;
  }
  counters_->Answered();
  counters_->get_bytes.fetch_add(to.into.size(), std::memory_order_relaxed);
  return answer;
}

}  // namespace farswap::remote

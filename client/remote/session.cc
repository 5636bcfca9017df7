#include "client/remote/session.h"

#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/log_raw.h"
#include "common/units.h"

namespace farswap::remote {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr uint32_t kProtocolVersion = 1;
// proto/farswap/v1/session.proto.
constexpr size_t kMaxClientName = 128;
// Of one attempt: an answer that is not here by then is asked for again.
constexpr seconds kAttemptTimeout{5};
// A server that names a lease below this would be pinged without end.
constexpr milliseconds kMinLease{300};
constexpr seconds kMaxLease{3600};
// A beat that failed is repeated after this, if a third of the lease is more.
constexpr seconds kBeatAgain{1};
// An attach request of ours that arrives late takes the epoch from us, once.
// Thefts in this number, none a minute after the one before, are somebody
// else's work.
constexpr int kMaxThefts = 16;
constexpr seconds kTheftWindow{60};

absl::Status LostStatus() {
  return absl::DataLossError("the server no longer has what it held for us");
}

Deadline Sooner(Deadline deadline, std::chrono::steady_clock::duration time) {
  return std::min(deadline, std::chrono::steady_clock::now() + time);
}

}  // namespace

Session::Session(const Options& options,
                 const std::shared_ptr<grpc::Channel>& channel,
                 ShutdownGate* gate, Counters* counters)
    : options_(options),
      stub_(v1::SessionService::NewStub(channel)),
      gate_(gate),
      counters_(counters) {}

Session::~Session() {
  Wake();
  if (thread_.joinable()) thread_.join();
}

absl::StatusOr<std::unique_ptr<Session>> Session::Open(
    const Options& options, const std::shared_ptr<grpc::Channel>& channel,
    ShutdownGate* gate, Counters* counters, Deadline deadline) {
  std::unique_ptr<Session> session(
      new Session(options, channel, gate, counters));
  Backoff backoff;
  while (true) {
    const Answer answer = session->OpenOnce(deadline);
    if (answer.next == Next::kDone) break;
    if (answer.next == Next::kGone) {
      return absl::InvalidArgumentError(
          absl::StrCat("server ", counters->server(),
                       " refused the session: ", answer.text));
    }
    const Deadline again = Clock::now() + backoff.Next(answer.retry_delay);
    if (again >= deadline || !gate->SleepUntil(again)) {
      return absl::UnavailableError(absl::StrCat(
          "no session with server ", counters->server(),
          ": is farswap-server running there? (", answer.text, ")"));
    }
  }
  session->thread_ = std::thread([self = session.get()] { self->Run(); });
  MutexLock lock(&session->mu_);
  while (session->thread_id_ == 0) session->changed_.Wait(&session->mu_);
  return session;
}

absl::StatusOr<SessionView> Session::View(uint32_t serial) const {
  if (gate_->IsShut()) return ShutDownStatus();
  MutexLock lock(&mu_);
  if (serial != view_.serial || !open_) return LostStatus();
  return view_;
}

absl::StatusOr<SessionView> Session::WaitOpen(Deadline deadline) {
  MutexLock lock(&mu_);
  while (!open_) {
    if (gate_->IsShut()) return ShutDownStatus();
    if (Clock::now() >= deadline) {
      return absl::DeadlineExceededError("no session with the server");
    }
    changed_.WaitUntil(&mu_, deadline);
  }
  return view_;
}

BatchLimits Session::limits() const {
  MutexLock lock(&mu_);
  return limits_;
}

Answer Session::OpenOnce(Deadline deadline) {
  v1::OpenSessionRequest request;
  request.set_protocol_version(kProtocolVersion);
  request.set_client_name(options_.client_name.substr(0, kMaxClientName));
  const int64_t ms = options_.fault_deadline.count();
  request.mutable_fault_deadline()->set_seconds(ms / 1000);
  request.mutable_fault_deadline()->set_nanos(
      static_cast<int32_t>(ms % 1000 * 1'000'000));
  v1::OpenSessionResponse response;
  grpc::ClientContext context;
  context.set_deadline(GrpcDeadline(Sooner(deadline, kAttemptTimeout)));
  ScopedCall call(gate_, &context);
  const Answer answer =
      AnswerOf(stub_->OpenSession(&context, request, &response));
  if (answer.next != Next::kDone) return answer;
  counters_->Answered();
  MutexLock lock(&mu_);
  Adopt(response);
  return answer;
}

void Session::Adopt(const v1::OpenSessionResponse& response) {
  view_ = {response.session_id(), response.epoch(), view_.serial + 1};
  incarnation_ = response.incarnation();
  limits_.folios = std::max(response.max_batch_folios(), 1u);
  limits_.bytes = std::max<uint32_t>(response.max_batch_bytes(), kPmdBytes);
  limits_.clusters = std::max(response.max_batch_clusters(), 1u);
  SetLease(response.lease());
  thefts_ = 0;
  attach_unconfirmed_ = false;
  open_ = true;
  changed_.SignalAll();
}

void Session::SetLease(const google::protobuf::Duration& lease) {
  const Clock::duration time =
      seconds(std::clamp<int64_t>(lease.seconds(), 0, kMaxLease.count())) +
      std::chrono::nanoseconds(lease.nanos());
  lease_ = std::clamp<Clock::duration>(time, kMinLease, kMaxLease);
}

absl::Status Session::CheckAttachable(const SessionView& seen) const {
  if (gate_->IsShut()) return ShutDownStatus();
  if (!open_ || seen.serial != view_.serial) return LostStatus();
  return absl::OkStatus();
}

bool Session::Superseded(const SessionView& seen) const {
  return seen.serial == view_.serial && view_.epoch > seen.epoch;
}

bool Session::CountTheft() {
  const Clock::time_point now = Clock::now();
  if (now - last_theft_ > kTheftWindow) thefts_ = 0;
  last_theft_ = now;
  return ++thefts_ <= kMaxThefts;
}

absl::Status Session::Attach(const SessionView& seen, bool stale_epoch,
                             Deadline deadline) {
  MutexLock lock(&mu_);
  bool waited = false;
  while (attaching_) {
    waited = true;
    if (!changed_.WaitUntil(&mu_, deadline) && Clock::now() >= deadline) {
      return absl::UnavailableError("another attach is under way");
    }
  }
  absl::Status status = CheckAttachable(seen);
  if (!status.ok() || Superseded(seen)) return status;
  // Whom that attach did not serve: an own one would go the same way.
  if (waited) return last_attach_;
  if (stale_epoch && !attach_unconfirmed_ && !CountTheft()) {
    Lose("another client uses the session: was this process forked?");
    return LostStatus();
  }
  return AttachOnce(deadline);
}

absl::Status Session::AttachOnce(Deadline deadline) {
  v1::AttachSessionRequest request;
  request.set_session_id(view_.id);
  request.set_incarnation(incarnation_);
  v1::AttachSessionResponse response;
  Answer answer;
  attaching_ = true;
  attach_unconfirmed_ = true;
  mu_.Unlock();
  {
    grpc::ClientContext context;
    context.set_deadline(GrpcDeadline(Sooner(deadline, kAttemptTimeout)));
    context.set_wait_for_ready(true);
    ScopedCall call(gate_, &context);
    answer = AnswerOf(stub_->AttachSession(&context, request, &response));
  }
  mu_.Lock();
  attaching_ = false;
  last_attach_ = TakeAttachAnswer(answer, response);
  changed_.SignalAll();
  return last_attach_;
}

absl::Status Session::TakeAttachAnswer(
    const Answer& answer, const v1::AttachSessionResponse& response) {
  if (gate_->IsShut()) return ShutDownStatus();
  if (answer.next == Next::kDone && response.epoch() > view_.epoch) {
    view_.epoch = response.epoch();
    attach_unconfirmed_ = false;
    SetLease(response.lease());
    counters_->attaches.fetch_add(1, std::memory_order_relaxed);
    counters_->Answered();
    return absl::OkStatus();
  }
  if (answer.data_loss) {
    Lose(answer.text);
    return LostStatus();
  }
  const std::string why =
      answer.next == Next::kDone ? "its epoch did not grow" : answer.text;
  counters_->Repeated("AttachSession", why);
  return absl::UnavailableError(why);
}

void Session::Lose(const std::string& why) {
  open_ = false;
  counters_->sessions_lost.fetch_add(1, std::memory_order_relaxed);
  LogRaw(LogLevel::kError, "server %s lost what it held for this client: %s",
         counters_->server().c_str(), why.c_str());
  changed_.SignalAll();
}

void Session::Close(Deadline deadline) {
  v1::CloseSessionRequest request;
  {
    MutexLock lock(&mu_);
    if (!open_) return;
    request.set_session_id(view_.id);
    request.set_epoch(view_.epoch);
    open_ = false;
  }
  v1::CloseSessionResponse response;
  grpc::ClientContext context;
  context.set_deadline(GrpcDeadline(Sooner(deadline, kAttemptTimeout)));
  const Answer answer =
      AnswerOf(stub_->CloseSession(&context, request, &response));
  if (answer.next == Next::kDone) return;
  LogRaw(LogLevel::kWarning,
         "server %s: the session was not closed and ends with its lease: %s",
         counters_->server().c_str(), answer.text.c_str());
}

void Session::Run() {
  {
    MutexLock lock(&mu_);
    thread_id_ = gettid();
    changed_.SignalAll();
  }
  Backoff backoff;
  Deadline next = Clock::now();
  bool open = true;
  while (SleepUntil(next, open)) {
    {
      MutexLock lock(&mu_);
      open = open_;
    }
    next = open ? Beat() : Reopen(&backoff);
    if (open) backoff = Backoff();
  }
}

bool Session::SleepUntil(Deadline until, bool while_open) {
  MutexLock lock(&mu_);
  while (!gate_->IsShut() && Clock::now() < until && (open_ || !while_open)) {
    changed_.WaitUntil(&mu_, until);
  }
  return !gate_->IsShut();
}

void Session::Wake() {
  MutexLock lock(&mu_);
  changed_.SignalAll();
}

Deadline Session::Reopen(Backoff* backoff) {
  const Answer answer = OpenOnce(Deadline::max());
  if (answer.next == Next::kDone) return Clock::now();
  if (!gate_->IsShut()) counters_->Repeated("OpenSession", answer.text);
  return Clock::now() + backoff->Next(answer.retry_delay);
}

Deadline Session::Beat() {
  SessionView view;
  Clock::duration third;
  {
    MutexLock lock(&mu_);
    view = view_;
    third = lease_ / 3;
  }
  v1::KeepAliveRequest request;
  request.set_session_id(view.id);
  request.set_epoch(view.epoch);
  v1::KeepAliveResponse response;
  Answer answer;
  {
    grpc::ClientContext context;
    context.set_deadline(GrpcDeadline(Sooner(
        Deadline::max(), std::min<Clock::duration>(third, kAttemptTimeout))));
    ScopedCall call(gate_, &context);
    answer = AnswerOf(stub_->KeepAlive(&context, request, &response));
  }
  if (answer.next == Next::kDone) {
    counters_->Answered();
    MutexLock lock(&mu_);
    SetLease(response.lease());
    return Clock::now() + third;
  }
  if (answer.next == Next::kAttach) {
    // What comes of it is seen by the next step.
    (void)Attach(view, answer.stale_epoch, Sooner(Deadline::max(), third));
  } else if (!gate_->IsShut()) {
    counters_->Repeated("KeepAlive", answer.text);
  }
  return Clock::now() + std::min<Clock::duration>(third, kBeatAgain);
}

}  // namespace farswap::remote

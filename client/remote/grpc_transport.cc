#include "client/remote/grpc_transport.h"

#include "client/remote/channel.h"
#include "client/remote/cluster_calls.h"
#include "client/remote/counters.h"
#include "client/remote/get_path.h"
#include "client/remote/put_path.h"
#include "client/remote/session.h"
#include "client/remote/shutdown_gate.h"

namespace farswap::remote {
namespace {

using Clock = std::chrono::steady_clock;

// For the session's end, in a destructor that nobody gave a deadline.
constexpr std::chrono::seconds kCloseTimeout{2};

absl::Status Check(const GrpcTransport::Options& options) {
  if (options.servers.empty()) {
    return absl::InvalidArgumentError("no server is named: HOST:PORT");
  }
  if (options.servers.size() > 1) {
    return absl::InvalidArgumentError(
        "several servers are named: one server at the moment");
  }
  if (options.max_puts < 1) {
    return absl::InvalidArgumentError("max_puts: 1 or more");
  }
  if (options.fault_deadline.count() <= 0) {
    return absl::InvalidArgumentError("fault_deadline: more than 0");
  }
  return absl::OkStatus();
}

}  // namespace

GrpcTransport::GrpcTransport(int max_puts) : max_puts_(max_puts) {}

absl::StatusOr<std::unique_ptr<GrpcTransport>> GrpcTransport::Create(
    const Options& options) {
  absl::Status status = Check(options);
  if (!status.ok()) return status;
  PrepareProcess();
  const std::string address = options.servers[0].ToString();
  const std::shared_ptr<grpc::Channel> control = NewChannel(address);
  std::unique_ptr<GrpcTransport> transport(new GrpcTransport(options.max_puts));
  transport->counters_ = std::make_unique<Counters>(address);
  transport->gate_ = std::make_unique<ShutdownGate>();
  Counters* counters = transport->counters_.get();
  ShutdownGate* gate = transport->gate_.get();
  auto session =
      Session::Open({options.client_name, options.fault_deadline}, control,
                    gate, counters, Clock::now() + options.open_deadline);
  if (!session.ok()) return session.status();
  transport->session_ = std::move(*session);
  Session* s = transport->session_.get();
  transport->clusters_ =
      std::make_unique<ClusterCalls>(control, s, gate, counters);
  transport->gets_ =
      std::make_unique<GetPath>(NewChannel(address), s, gate, counters);
  transport->puts_ = std::make_unique<PutPath>(
      NewChannel(address), options.max_puts, s, gate, counters);
  return transport;
}

GrpcTransport::~GrpcTransport() { Shutdown(Clock::now() + kCloseTimeout); }

absl::StatusOr<std::vector<core::ClusterGrant>> GrpcTransport::AllocateClusters(
    uint32_t count, Deadline deadline) {
  return clusters_->Allocate(count, deadline);
}

absl::Status GrpcTransport::FreeClusters(
    absl::Span<const core::ClusterGrant> grants, Deadline deadline) {
  return clusters_->Free(grants, deadline);
}

absl::Status GrpcTransport::Get(absl::Span<const FolioRef> folios,
                                absl::Span<char> into, Deadline deadline,
                                GetSink* sink) {
  return gets_->Get(folios, into, deadline, sink);
}

void GrpcTransport::StartPut(PutOp* op) { puts_->Start(op); }

bool GrpcTransport::IsLost(const core::ClusterGrant& grant) const {
  return absl::IsDataLoss(session_->View(grant.session).status());
}

std::vector<int> GrpcTransport::ThreadIds() const {
  std::vector<int> ids = puts_->ThreadIds();
  ids.push_back(session_->thread_id());
  return ids;
}

void GrpcTransport::Shutdown(Deadline deadline) {
  MutexLock lock(&shutdown_mu_);
  if (shut_down_) return;
  shut_down_ = true;
  gate_->Shut();
  if (session_ == nullptr) return;  // Create failed.
  session_->Wake();
  puts_->Drain();
  session_->Close(deadline);
}

TransportStats GrpcTransport::Stats() const { return counters_->Snapshot(); }

}  // namespace farswap::remote

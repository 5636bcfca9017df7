#include "server/server.h"

#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <prometheus/exposer.h>

#include <exception>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/clock.h"
#include "server/call_loop.h"
#include "server/control_service.h"
#include "server/data_service.h"
#include "server/executor.h"
#include "server/listeners.h"
#include "server/metadata_store.h"
#include "server/metrics_exporter.h"
#include "server/status_service.h"
#include "server/storage.h"
#include "server/ticker.h"

namespace farswap::server {
namespace {

// Enough for group commits to form; each waits for the disk most of its time.
constexpr int kControlThreads = 4;
constexpr size_t kMaxQueuedControlCalls = 1024;
constexpr std::chrono::milliseconds kTickPeriod{1'000};
constexpr std::chrono::milliseconds kFarewell{100};

}  // namespace

// In the order in which the parts need each other; destroyed in reverse.
struct Server::Impl {
  explicit Impl(const ServerOptions& options)
      : data_address(options.listen),
        admin_address(options.admin_listen),
        metrics_address(options.metrics_listen) {}

  absl::Status OpenStorage(const ServerOptions& options);
  absl::Status ListenForData(const ServerOptions& options);
  absl::Status ListenForAdmin();
  absl::Status ListenForMetrics();
  Gauges ReadGauges();
  std::vector<std::string> Problems();
  absl::Status Stop(std::chrono::milliseconds grace);

  Address data_address;
  Address admin_address;
  Address metrics_address;
  const SteadyClock clock;
  Metrics metrics;
  std::unique_ptr<Storage> storage;
  std::unique_ptr<Executor> executor;
  std::unique_ptr<DataService> data;
  std::unique_ptr<ControlService> control;
  std::unique_ptr<CallLoop> loop;
  std::unique_ptr<grpc::Server> data_server;
  std::unique_ptr<StatusServiceImpl> status;
  std::unique_ptr<grpc::Server> admin_server;
  std::shared_ptr<MetricsExporter> exporter;
  std::unique_ptr<prometheus::Exposer> exposer;
  std::unique_ptr<Ticker> ticker;
  bool stopped = false;
};

absl::Status Server::Impl::OpenStorage(const ServerOptions& options) {
  auto metadata = MetadataStore::Open(options.data_dir);
  if (!metadata.ok()) return metadata.status();
  auto opened = Storage::Open({options.pool, options.ownership, options.log},
                              *std::move(metadata), &clock);
  if (!opened.ok()) return opened.status();
  storage = *std::move(opened);
  storage->journal().set_on_sync([this](std::chrono::nanoseconds took) {
    metrics.metadata_sync.Record(took);
  });
  return absl::OkStatus();
}

absl::Status Server::Impl::ListenForData(const ServerOptions& options) {
  executor =
      std::make_unique<Executor>(kControlThreads, kMaxQueuedControlCalls);
  data = std::make_unique<DataService>(&storage->folios(), &metrics);
  control = std::make_unique<ControlService>(
      &storage->ownership(), executor.get(), &metrics, storage->server_id());
  grpc::ServerBuilder builder;
  ConfigureDataPort(options.message_bytes, &builder);
  data->Register(&builder);
  control->Register(&builder);
  loop = std::make_unique<CallLoop>(&builder);
  auto server = BuildAndListen(&builder, "--listen", &data_address);
  if (!server.ok()) return server.status();
  data_server = *std::move(server);
  data->Start(loop.get());
  control->Start(loop.get());
  loop->Start(options.data_threads);
  return absl::OkStatus();
}

absl::Status Server::Impl::ListenForAdmin() {
  status = std::make_unique<StatusServiceImpl>([this] { return ReadGauges(); },
                                               [this] { return Problems(); });
  grpc::ServerBuilder builder;
  ConfigureAdminPort(&builder);
  builder.RegisterService(status.get());
  auto server = BuildAndListen(&builder, "--admin-listen", &admin_address);
  if (!server.ok()) return server.status();
  admin_server = *std::move(server);
  admin_server->GetHealthCheckService()->SetServingStatus(true);
  return absl::OkStatus();
}

absl::Status Server::Impl::ListenForMetrics() {
  exporter = std::make_shared<MetricsExporter>(&metrics,
                                               [this] { return ReadGauges(); });
  // The library reports a port that is taken by throwing.
  try {
    exposer =
        std::make_unique<prometheus::Exposer>(metrics_address.ToString(), 1);
  } catch (const std::exception&) {
    return absl::InvalidArgumentError(absl::StrCat(
        "cannot listen on --metrics-listen=", metrics_address.ToString(),
        ": is it in use, or not of this machine? Name another address, or "
        "port 0 for any"));
  }
  exposer->RegisterCollectable(exporter);
  const std::vector<int> ports = exposer->GetListeningPorts();
  if (!ports.empty()) {
    metrics_address =
        metrics_address.WithPort(static_cast<uint16_t>(ports.front()));
  }
  return absl::OkStatus();
}

Gauges Server::Impl::ReadGauges() {
  Gauges now;
  now.server_id = storage->server_id();
  now.pool = storage->pool().name();
  now.incarnation = storage->ownership().incarnation();
  now.capacity_clusters = storage->pool().clusters();
  now.granted_clusters = storage->clusters().granted();
  now.limbo_clusters = storage->ownership().limbo_clusters();
  now.metadata_writable = storage->journal().problem().empty();
  now.draining = storage->ownership().draining();
  for (const auto& session : storage->sessions().All()) {
    switch (session->StateAt(clock.Now())) {
      case SessionState::kAlive:
        ++now.sessions_alive;
        break;
      case SessionState::kExpired:
        ++now.sessions_expired;
        break;
      case SessionState::kReclaimable:
      case SessionState::kOverdue:
        ++now.sessions_reclaimable;
        break;
      case SessionState::kEnded:
        break;
    }
  }
  return now;
}

std::vector<std::string> Server::Impl::Problems() {
  std::vector<std::string> problems;
  const std::string problem = storage->journal().problem();
  if (!problem.empty()) {
    problems.push_back("the metadata store does not accept changes: " +
                       problem);
  }
  return problems;
}

absl::Status Server::Impl::Stop(std::chrono::milliseconds grace) {
  if (std::exchange(stopped, true)) return absl::OkStatus();
  if (storage != nullptr) storage->ownership().Drain();
  if (admin_server != nullptr) {
    admin_server->GetHealthCheckService()->SetServingStatus(false);
  }
  if (data_server != nullptr) {
    // gRPC's own grace waits for every client to hang up, which an idle one
    // may not do: the calls are waited for here, and what is left cancelled.
    loop->Quiesce(std::chrono::steady_clock::now() + grace);
    // Whose turn has not come is told so, and has a moment to hear it.
    executor->Abandon();
    loop->Quiesce(std::chrono::steady_clock::now() + kFarewell);
    data_server->Shutdown(std::chrono::system_clock::now());
    executor->Stop();
  }
  if (loop != nullptr) loop->Stop();
  ticker.reset();
  if (admin_server != nullptr) {
    admin_server->Shutdown(std::chrono::system_clock::now());
  }
  return storage == nullptr ? absl::OkStatus() : storage->Close();
}

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

absl::StatusOr<std::unique_ptr<Server>> Server::Start(
    const ServerOptions& options) {
  InitGrpcPlugins();
  std::unique_ptr<Server> server(new Server(std::make_unique<Impl>(options)));
  Impl& impl = *server->impl_;
  absl::Status status = impl.OpenStorage(options);
  if (status.ok()) status = impl.ListenForData(options);
  if (status.ok()) status = impl.ListenForMetrics();
  if (status.ok()) status = impl.ListenForAdmin();
  if (!status.ok()) return status;
  impl.ticker = std::make_unique<Ticker>(
      kTickPeriod, [&impl] { impl.storage->ownership().Tick(); });
  return server;
}

Server::~Server() { Stop(std::chrono::milliseconds(0)).IgnoreError(); }

const Address& Server::data_address() const { return impl_->data_address; }
const Address& Server::admin_address() const { return impl_->admin_address; }
const Address& Server::metrics_address() const {
  return impl_->metrics_address;
}

absl::Status Server::Stop(std::chrono::milliseconds grace) {
  return impl_->Stop(grace);
}

}  // namespace farswap::server

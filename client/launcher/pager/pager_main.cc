// farswap-pager: pages for the programs of a farswap-run.
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/launcher/pager/options.h"
#include "client/launcher/pager/supervisor.h"
#include "client/launcher/pager_wire.h"
#include "client/launcher/process/priority.h"
#include "client/launcher/process/socket_io.h"
#include "client/pager/tree/tree_pager.h"
#include "client/remote/grpc_transport.h"
#include "client/runtime/metrics_page.h"
#include "client/runtime/private_server.h"
#include "client/runtime/stats.h"
#include "client/runtime/stats_json.h"
#include "common/address.h"

namespace farswap::launcher {
namespace {

// What a private server may hold: as much as anyone could need here, for it
// costs nothing until it is used.
constexpr uint64_t kPrivateCapacity = uint64_t{1} << 40;

struct Run {
  Options options;
  std::unique_ptr<runtime::PrivateServer> server;
  std::unique_ptr<Supervisor> supervisor;
  std::unique_ptr<pager::TreePager> pager;
  std::unique_ptr<runtime::MetricsPage> metrics;
  std::chrono::steady_clock::time_point begin;
};

// The programs' signals are not its own; it ends when they have.
void IgnoreSignals() {
  for (const int s :
       {SIGINT, SIGQUIT, SIGHUP, SIGTERM, SIGPIPE, SIGTSTP, SIGTTOU, SIGTTIN}) {
    signal(s, SIG_IGN);
  }
}

// A descriptor or two a process.
void RaiseLimits() {
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  // All programs hang on it; if it may not say so, it is as any other.
  std::ofstream("/proc/self/oom_score_adj") << -500;
}

absl::StatusOr<std::unique_ptr<remote::Transport>> Connect(Run* run) {
  std::string address = run->options.servers;
  if (address.empty()) {
    runtime::PrivateServerOptions options;
    options.capacity_bytes = kPrivateCapacity;
    auto server = runtime::PrivateServer::Start(options);
    if (!server.ok()) return server.status();
    run->server = *std::move(server);
    address = run->server->address();
  }
  auto servers = ParseServers(address);
  if (!servers.ok()) return servers.status();
  remote::GrpcTransport::Options to_server;
  to_server.servers = *std::move(servers);
  to_server.client_name = "farswap-run";
  to_server.fault_deadline = run->options.fault_deadline;
  return remote::GrpcTransport::Create(to_server);
}

absl::Status Start(Run* run) {
  pager::OwnFd device(open("/dev/userfaultfd", O_RDWR | O_CLOEXEC));
  if (!device.valid()) {
    return absl::ErrnoToStatus(errno, "/dev/userfaultfd cannot be opened");
  }
  auto transport = Connect(run);
  if (!transport.ok()) return transport.status();
  run->supervisor = std::make_unique<Supervisor>(
      run->options.local_memory, pager::OwnFd(kControlFd), std::move(device));
  pager::TreePager::Options options;
  options.limit_bytes = run->options.local_memory;
  options.fault_deadline = run->options.fault_deadline;
  options.on_fork = [supervisor = run->supervisor.get()](const auto& parent,
                                                         const auto& child) {
    supervisor->OnFork(parent, child);
  };
  auto pager =
      pager::TreePager::Create(std::move(options), *std::move(transport));
  if (!pager.ok()) return pager.status();
  run->pager = *std::move(pager);
  if (run->options.metrics_listen.empty()) return absl::OkStatus();
  auto page = runtime::MetricsPage::Start(
      run->options.metrics_listen,
      [asked = run->pager.get()] { return asked->Stats(); });
  if (!page.ok()) return page.status();
  run->metrics = *std::move(page);
  return absl::OkStatus();
}

bool WriteStats(const Run& run) {
  if (run.options.stats.empty()) return true;
  const std::chrono::duration<double> elapsed =
      std::chrono::steady_clock::now() - run.begin;
  auto json = nlohmann::ordered_json::parse(
      runtime::StatsJson(runtime::ToStats(run.pager->Stats())));
  json["elapsed_seconds"] = elapsed.count();
  json["local_limit_bytes"] = run.options.local_memory;
  std::ofstream file(run.options.stats);
  file << json.dump(2) << '\n';
  file.close();
  return !file.fail();
}

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "farswap-pager: %s\n",
               std::string(status.message()).c_str());
  Control failed;
  failed.kind = Control::Kind::kFailed;
  (void)SendPacket(kControlFd, &failed, sizeof(failed), -1);
  return 1;
}

int Main(int argc, char** argv) {
  Run run;
  if (const int status = ParseOptions(argc, argv, &run.options); status >= 0) {
    return status;
  }
  run.begin = std::chrono::steady_clock::now();
  IgnoreSignals();
  RaiseLimits();
  GetMost();  // Before there are threads, which inherit it.
  const absl::Status started = Start(&run);
  if (!started.ok()) return Fail(started);
  const bool well = run.supervisor->Run(run.pager.get());
  const bool written = WriteStats(run);
  if (!written) {
    std::fprintf(stderr, "farswap-pager: cannot write --stats=%s\n",
                 run.options.stats.c_str());
  }
  run.metrics.reset();
  run.pager.reset();
  run.server.reset();
  return well && written ? 0 : 1;
}

}  // namespace
}  // namespace farswap::launcher

int main(int argc, char** argv) { return farswap::launcher::Main(argc, argv); }

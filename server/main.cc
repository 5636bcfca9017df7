// farswap-server.

#include <malloc.h>
#include <signal.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "server/options.h"
#include "server/server.h"

namespace {

using farswap::server::CommandLine;
using farswap::server::Server;

// Options that are wrong, or wrong for this machine, directory or pool.
constexpr int kExitUsage = 2;
// Anything else.
constexpr int kExitFailure = 1;

// A message of 2 MiB that is mapped for and unmapped again costs 1.3-7 ms, one
// from memory that malloc keeps 0.35-0.7: keep what was used.
void KeepBigBlocks() {
  mallopt(M_MMAP_THRESHOLD, 32 << 20);  // The most that glibc takes.
  mallopt(M_TRIM_THRESHOLD, 512 << 20);
}

void StartLog(bool json) {
  auto logger = spdlog::stderr_logger_mt("farswap-server");
  logger->set_pattern(
      json ? R"({"time":"%Y-%m-%dT%H:%M:%S.%e%z","level":"%l","message":%v})"
           : "%Y-%m-%dT%H:%M:%S.%e %l %v");
  spdlog::set_default_logger(std::move(logger));
}

// A client's name is in some lines: it must not look like a line of its own.
void Log(std::string text, bool json) {
  if (json) {
    text = nlohmann::json(text).dump(-1, ' ', false,
                                     nlohmann::json::error_handler_t::replace);
  }
  std::replace_if(
      text.begin(), text.end(),
      [](unsigned char c) { return std::iscntrl(c) != 0; }, '?');
  spdlog::info("{}", text);
}

int Fail(const absl::Status& status) {
  const std::string message(status.message());
  std::fprintf(stderr, "farswap-server: %s\n", message.c_str());
  const bool usage =
      absl::IsInvalidArgument(status) || absl::IsFailedPrecondition(status);
  return usage ? kExitUsage : kExitFailure;
}

// The signals that stop the server, blocked in every thread and waited for.
sigset_t BlockSignals() {
  signal(SIGPIPE, SIG_IGN);
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

void Announce(const Server& server) {
  std::printf("farswap-server ready data=%s admin=%s metrics=%s\n",
              server.data_address().ToString().c_str(),
              server.admin_address().ToString().c_str(),
              server.metrics_address().ToString().c_str());
  std::fflush(stdout);
}

int Serve(const CommandLine& line) {
  const sigset_t signals = BlockSignals();
  KeepBigBlocks();
  StartLog(line.log_json);
  auto server = Server::Start(*line.options);
  if (!server.ok()) return Fail(server.status());
  Announce(**server);
  int signal_number = 0;
  sigwait(&signals, &signal_number);
  line.options->log("stopping on signal " + std::to_string(signal_number));
  const absl::Status status = (*server)->Stop(line.stop_grace);
  if (!status.ok()) return Fail(status);
  line.options->log("stopped");
  // All is written and closed but for /metrics, whose HTTP server looks only
  // every two seconds whether it is to stop: the process does not wait.
  spdlog::shutdown();
  std::fflush(stdout);
  std::_Exit(0);
}

}  // namespace

int main(int argc, char** argv) {
  auto line = farswap::server::ParseCommandLine(argc, argv);
  if (!line.ok()) return Fail(line.status());
  if (!line->print.empty()) {
    std::fputs(line->print.c_str(), stdout);
    return 0;
  }
  line->options->log = [json = line->log_json](const std::string& text) {
    Log(text, json);
  };
  return Serve(*line);
}

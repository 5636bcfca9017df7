// farseq: writes a region of far memory from end to end with bytes that do not
// compress, reads it again, and compares every byte.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/status.h"
#include "client/runtime/farswap.hpp"
#include "client/runtime/private_server.h"
#include "common/address.h"
#include "common/flag_checks.h"
#include "common/size.h"
#include "common/units.h"

namespace farswap::farseq {
namespace {

// The least that a memory group takes.
constexpr uint64_t kMinLocalMemory = uint64_t{8} << 20;

struct Options {
  std::string servers;
  uint64_t bytes = uint64_t{1} << 30;
  uint64_t local_memory = uint64_t{256} << 20;
  bool json = false;
};

int Fail(const char* context, const std::string& message) {
  std::fprintf(stderr, "farseq: %s%s\n", context, message.c_str());
  return 1;
}

// splitmix64 of the word's index: a page is not like any other.
uint64_t WordAt(uint64_t index) {
  uint64_t z = (index + 1) * 0x9e3779b97f4a7c15;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

// Says how far it is, at most every two seconds.
class Progress {
 public:
  Progress(const char* what, uint64_t words) : what_(what), words_(words) {}
  void At(uint64_t word) {
    const auto now = std::chrono::steady_clock::now();
    if (now < next_) return;
    next_ = now + std::chrono::seconds(2);
    std::fprintf(stderr, "farseq: %s %lu of %lu MiB\n", what_, word >> 17,
                 words_ >> 17);
  }

 private:
  const char* const what_;
  const uint64_t words_;
  std::chrono::steady_clock::time_point next_ =
      std::chrono::steady_clock::now() + std::chrono::seconds(2);
};

constexpr uint64_t kWordsPerBlock = kPmdBytes / sizeof(uint64_t);

void Write(uint64_t* words, uint64_t count) {
  Progress progress("wrote", count);
  for (uint64_t i = 0; i < count; ++i) {
    words[i] = WordAt(i);
    if (i % kWordsPerBlock == 0) progress.At(i);
  }
}

// Returns the bytes that are not what was written.
uint64_t Verify(const uint64_t* words, uint64_t count) {
  Progress progress("read", count);
  uint64_t wrong = 0;
  for (uint64_t i = 0; i < count; ++i) {
    if (words[i] != WordAt(i)) wrong += sizeof(uint64_t);
    if (i % kWordsPerBlock == 0) progress.At(i);
  }
  return wrong;
}

double SecondsSince(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin)
      .count();
}

// The share of what came back that came as 2 MiB folios.
double HugeShare(const farswap_stats& stats) {
  if (stats.swpin_bytes == 0) return 0;
  return static_cast<double>(stats.swpin[kPmdOrder] * kPmdBytes) /
         static_cast<double>(stats.swpin_bytes);
}

int Measure(const Options& options, const Client& client, Region& region) {
  auto* words = reinterpret_cast<uint64_t*>(region.data());
  const uint64_t count = region.size() / sizeof(uint64_t);
  const auto begin_write = std::chrono::steady_clock::now();
  Write(words, count);
  const double write_seconds = SecondsSince(begin_write);
  const auto begin_read = std::chrono::steady_clock::now();
  const uint64_t wrong = Verify(words, count);
  const double read_seconds = SecondsSince(begin_read);

  auto json = nlohmann::ordered_json::parse(client.StatsJson());
  json["region_bytes"] = region.size();
  json["local_limit_bytes"] = options.local_memory;
  json["write_seconds"] = write_seconds;
  json["read_seconds"] = read_seconds;
  json["huge_share"] = HugeShare(client.Stats());
  json["wrong_bytes"] = wrong;
  if (options.json) {
    std::puts(json.dump(2).c_str());
  } else {
    const double mib = static_cast<double>(region.size()) / (1 << 20);
    std::printf(
        "%.0f MiB, %s local: wrote %.0f MiB/s, read %.0f MiB/s, %.1f %% "
        "swapped in as 2 MiB folios, %lu bytes wrong\n",
        mib, FormatSize(options.local_memory).c_str(), mib / write_seconds,
        mib / read_seconds, 100 * HugeShare(client.Stats()), wrong);
  }
  return wrong == 0 ? 0 : 1;
}

int Run(const Options& options) {
  ClientOptions client_options;
  client_options.servers = options.servers;
  std::unique_ptr<runtime::PrivateServer> server;
  if (options.servers.empty()) {
    runtime::PrivateServerOptions server_options;
    server_options.capacity_bytes = AlignUp(options.bytes, kClusterBytes) * 2;
    auto started = runtime::PrivateServer::Start(server_options);
    if (!started.ok()) {
      return Fail("", std::string(started.status().message()));
    }
    server = *std::move(started);
    client_options.servers = server->address();
  }
  auto client = Client::Open(client_options);
  if (!client) return Fail("cannot connect: ", client.error().message());
  auto group = client->CreateGroup(options.local_memory);
  if (!group) return Fail("no group: ", group.error().message());
  RegionOptions region_options;
  region_options.bytes = options.bytes;
  auto region = group->CreateRegion(region_options);
  if (!region) return Fail("no region: ", region.error().message());
  return Measure(options, *client, *region);
}

std::string CheckServers(const std::string& text) {
  const auto servers = ParseServers(text);
  return servers.ok() ? "" : std::string(servers.status().message());
}

int Main(int argc, char** argv) {
  Options options;
  CLI::App app("Writes far memory from end to end and reads it again.",
               "farseq");
  std::string bytes, local;
  app.add_option("--servers", options.servers,
                 "Memory servers; none: starts a private one")
      ->check(CheckServers);
  app.add_option("--bytes", bytes, "Of the region; default: 1G")
      ->check(ParseInto(ParseSize, &options.bytes));
  app.add_option("--local-memory", local, "How much is local; default: 256M")
      ->check(ParseInto(ParseSize, &options.local_memory));
  app.add_flag("--json", options.json, "Print statistics as JSON");
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    std::fputs(app.help().c_str(), stdout);
    return 0;
  } catch (const CLI::ParseError& e) {
    std::fprintf(stderr, "farseq: %s\n", e.what());
    return 2;
  }
  if (options.local_memory < kMinLocalMemory) {
    std::fprintf(stderr, "farseq: --local-memory: give at least 8MiB\n");
    return 2;
  }
  return Run(options);
}

}  // namespace
}  // namespace farswap::farseq

int main(int argc, char** argv) { return farswap::farseq::Main(argc, argv); }

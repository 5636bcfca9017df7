#include "deploy/examples/lua/options.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>
#include <memory>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/duration.h"
#include "common/flag_checks.h"
#include "common/size.h"
#include "common/version.h"

namespace farswap::farlua {
namespace {

// The least that a memory group takes.
constexpr uint64_t kMinLocalMemory = uint64_t{8} << 20;
constexpr std::chrono::milliseconds kMinFaultDeadline{100};
constexpr uint64_t kMinHeap = uint64_t{2} << 20;
constexpr uint64_t kMaxHeap = uint64_t{1} << 46;

constexpr char kAbout[] =
    "Runs a Lua 5.4 script, as lua does, with its heap in far memory: "
    "--local-memory\nof it stays here, the rest is on a memory server.\n\n"
    "With a private server of its own, to try it:\n"
    "  farlua --local-memory=64M script.lua\n"
    "With a server that was started elsewhere:\n"
    "  farlua --servers=memory-1:7070 --local-memory=1G --heap=8G script.lua\n"
    "SCRIPT - is standard input. What follows SCRIPT is the script's.";

constexpr char kExits[] =
    "SIZE is a whole number with K, M, G, T or KiB, MiB, GiB, TiB; TIME is one "
    "with\nms, s, m or h. farlua ends with the script's status; with 1 if the "
    "script failed\nor no server answered, with 2 if the options are wrong, "
    "by SIGBUS if a page is\nlost.\n";

// The positional arguments are not CLI11's: everything from SCRIPT on is left.
class Format : public CLI::Formatter {
 public:
  std::string make_usage(const CLI::App*, std::string) const override {
    return "Usage: farlua [OPTIONS] SCRIPT [ARGS...]\n";
  }
};

uint64_t PhysicalMemory() {
  return static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) *
         static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

int Wrong(const std::string& message) {
  std::fprintf(stderr, "farlua: %s\n", message.c_str());
  return 2;
}

// What no single option can know.
std::string Conflict(const Options& options) {
  if (options.script.empty()) {
    return "no SCRIPT given; usage: farlua [OPTIONS] SCRIPT [ARGS...], see "
           "--help";
  }
  const std::string& script = options.script.front();
  if (script.size() > 1 && script.front() == '-') {
    return "unknown option " + script + "; see --help";
  }
  if (options.local_memory < kMinLocalMemory) {
    return "--local-memory: " + FormatSize(options.local_memory) +
           " is too little to make progress; give at least 8MiB";
  }
  if (options.heap < kMinHeap || options.heap > kMaxHeap) {
    return "--heap: give 2MiB to 64TiB, not " + FormatSize(options.heap);
  }
  if (options.fault_deadline < kMinFaultDeadline) {
    return "--fault-deadline: give at least " +
           FormatDuration(kMinFaultDeadline);
  }
  // Now, not when all the work is done.
  if (!options.stats.empty() &&
      !std::ofstream(options.stats, std::ios::app).good()) {
    return "--stats: cannot write " + options.stats;
  }
  return "";
}

}  // namespace

int ParseOptions(int argc, char** argv, Options* options) {
  options->local_memory = PhysicalMemory() / 4;
  options->heap = PhysicalMemory();
  CLI::App app(kAbout, "farlua");
  app.formatter(std::make_shared<Format>());
  app.footer(kExits);
  app.set_version_flag("--version", std::string("farlua ") + kVersion);
  std::string size, heap, deadline;
  auto* servers =
      app.add_option("--servers", options->servers,
                     "The memory server, HOST:PORT or unix:PATH; without: "
                     "starts a private one and ends it at exit")
          ->type_name("ADDR")
          ->check(CheckServer);
  auto* local = app.add_option("--local-memory", size,
                               "How much of the heap may be in local memory; "
                               "default: a quarter of this machine's")
                    ->type_name("SIZE")
                    ->check(ParseInto(ParseSize, &options->local_memory));
  app.add_option("--heap", heap,
                 "How large the heap may grow; default: as this machine's "
                 "memory. Beyond it a script gets \"not enough memory\"")
      ->type_name("SIZE")
      ->check(ParseInto(ParseSize, &options->heap));
  auto* wait =
      app.add_option("--fault-deadline", deadline,
                     "How long a lost server is waited for before the pages "
                     "it holds are given up (SIGBUS); default: 60s")
          ->type_name("TIME")
          ->check(ParseInto(ParseDuration, &options->fault_deadline));
  auto* metrics =
      app.add_option("--metrics-listen", options->metrics_listen,
                     "Serve statistics for Prometheus there while the script "
                     "runs, at /metrics")
          ->type_name("HOST:PORT")
          ->check(CheckMetricsListen);
  app.add_option("--stats", options->stats,
                 "Write statistics to this file at exit, as JSON")
      ->type_name("FILE");
  app.add_flag("--plain", options->plain,
               "The same program with plain memory, to compare with")
      ->excludes(servers)
      ->excludes(local)
      ->excludes(metrics)
      ->excludes(wait);
  // Everything from SCRIPT on is the script's.
  app.prefix_command();
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    std::fputs(app.help().c_str(), stdout);
    return 0;
  } catch (const CLI::CallForVersion& version) {
    std::printf("%s\n", version.what());
    return 0;
  } catch (const CLI::ParseError& e) {
    return Wrong(e.what());
  }
  options->script = app.remaining();
  const std::string conflict = Conflict(*options);
  return conflict.empty() ? -1 : Wrong(conflict);
}

}  // namespace farswap::farlua

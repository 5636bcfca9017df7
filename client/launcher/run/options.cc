#include "client/launcher/run/options.h"

#include <fcntl.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/launcher/run/fd.h"
#include "client/launcher/run/local_memory.h"
#include "client/launcher/run/say.h"
#include "common/duration.h"
#include "common/flag_checks.h"
#include "common/size.h"
#include "common/version.h"

namespace farswap::launcher {
namespace {

// Twice what a memory group takes: the pages of several programs.
constexpr uint64_t kMinLocalMemory = uint64_t{16} << 20;
constexpr std::chrono::milliseconds kMinFaultDeadline{100};

constexpr char kAbout[] =
    "Runs an unmodified program, and all that it starts, with far memory: "
    "together\nthey have --local-memory here, the rest is on a memory "
    "server.\n\n"
    "With a private server of its own, to try it:\n"
    "  farswap-run --local-memory=256M -- redis-server --port 7000\n"
    "With a server that was started elsewhere:\n"
    "  farswap-run --servers=memory-1:7070 --local-memory=1G -- python3 "
    "job.py\n"
    "A whole shell, and nothing in it that would stay local unseen:\n"
    "  farswap-run --local-memory=2G --strict -- bash\n"
    "What follows COMMAND is the command's; so `--` may be left out.";

constexpr char kExits[] =
    "SIZE is a whole number with K, M, G, T or KiB, MiB, GiB, TiB; TIME is one "
    "with\nms, s, m or h. farswap-run ends as the command does, by the same "
    "status or signal;\nwith 1 if there is no far memory when it is needed "
    "(then the programs are ended),\nwith 2 if the options are wrong, with 126 "
    "if the command cannot be executed, with\n127 if there is none.\n";

// The positional arguments are not CLI11's: everything from COMMAND on is left.
class Format : public CLI::Formatter {
 public:
  std::string make_usage(const CLI::App*, std::string) const override {
    return "Usage: farswap-run [OPTIONS] [--] COMMAND [ARGS...]\n";
  }
};

int Wrong(const std::string& message) {
  Say(message);
  return 2;
}

bool CanWrite(const std::string& path) {
  return Fd(open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666))
      .valid();
}

// What no single option can know.
std::string Conflict(const Options& options, bool marked) {
  if (options.command.empty()) {
    return "no COMMAND given; usage: farswap-run [OPTIONS] -- COMMAND "
           "[ARGS...], see --help";
  }
  const std::string& command = options.command.front();
  if (!marked && !command.empty() && command.front() == '-') {
    return "unknown option " + command + "; see --help";
  }
  if (options.local_memory < kMinLocalMemory) {
    return "--local-memory: " + FormatSize(options.local_memory) +
           " is too little to make progress; give at least 16MiB";
  }
  if (options.fault_deadline < kMinFaultDeadline) {
    return "--fault-deadline: give at least " +
           FormatDuration(kMinFaultDeadline);
  }
  // Now, not when all the work is done.
  if (!options.stats.empty() && !CanWrite(options.stats)) {
    return "--stats: cannot write " + options.stats;
  }
  return "";
}

// Texts that were given, before they are what they mean.
struct Texts {
  std::string local_memory;
  std::string fault_deadline;
};

void Declare(CLI::App* app, Texts* texts, Options* options) {
  app->add_option("--servers", options->servers,
                  "The memory server, HOST:PORT or unix:PATH; without: a "
                  "private one is started when memory gets short")
      ->type_name("ADDR")
      ->check(CheckServer);
  app->add_option("--local-memory", texts->local_memory,
                  "How much of the programs' memory may be local, together; "
                  "at least 16MiB; default: half of this machine's, or of "
                  "what the cgroup may have if that is less")
      ->type_name("SIZE")
      ->check(ParseInto(ParseSize, &options->local_memory));
  app->add_option("--fault-deadline", texts->fault_deadline,
                  "How long a lost server is waited for before the pages "
                  "it holds are given up (SIGBUS); default: 60s")
      ->type_name("TIME")
      ->check(ParseInto(ParseDuration, &options->fault_deadline));
  app->add_option("--metrics-listen", options->metrics_listen,
                  "Serve statistics for Prometheus there while there is far "
                  "memory, at /metrics")
      ->type_name("HOST:PORT")
      ->check(CheckMetricsListen);
  app->add_option("--stats", options->stats,
                  "Write statistics to this file at the end, as JSON")
      ->type_name("FILE");
  app->add_flag("--strict", options->strict,
                "End programs whose memory would stay local: static or setuid "
                "ones, and such as were started without LD_PRELOAD; without: "
                "they are named");
  // Everything from COMMAND on is the command's.
  app->prefix_command();
}

}  // namespace

int ParseOptions(int argc, char** argv, Options* options) {
  options->local_memory = DefaultLocalMemory();
  CLI::App app(kAbout, "farswap-run");
  app.formatter(std::make_shared<Format>());
  app.footer(kExits);
  app.set_version_flag("--version", std::string("farswap-run ") + kVersion);
  Texts texts;
  Declare(&app, &texts, options);
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
  options->command = app.remaining();
  const bool marked =
      !options->command.empty() && options->command.front() == "--";
  if (marked) options->command.erase(options->command.begin());
  const std::string conflict = Conflict(*options, marked);
  return conflict.empty() ? -1 : Wrong(conflict);
}

}  // namespace farswap::launcher

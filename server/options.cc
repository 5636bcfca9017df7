#include "server/options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/duration.h"
#include "common/size.h"
#include "common/version.h"

namespace farswap::server {
namespace {

constexpr char kAbout[] =
    "Lends this machine's memory to farswap clients.\n\n"
    "A server on memory that dies with it:\n"
    "  farswap-server --data-dir=/var/lib/farswap --capacity=64GiB\n"
    "One whose memory survives a restart of the server:\n"
    "  farswap-server --data-dir=/var/lib/farswap --capacity=64GiB \\\n"
    "      --pool=/dev/shm/farswap.pool\n\n"
    "When it serves it prints one line to stdout:\n"
    "  farswap-server ready data=ADDR admin=ADDR metrics=ADDR\n"
    "ADDR is HOST:PORT (port 0: any that is free) or unix:PATH. Every option "
    "can also\nbe set in the environment: --data-dir as "
    "FARSWAP_SERVER_DATA_DIR.\n"
    "SIGTERM and SIGINT stop it cleanly.";

// As written, before anything is made of it.
struct Texts {
  std::string listen = "127.0.0.1:7070";
  std::string admin_listen = "127.0.0.1:7071";
  std::string metrics_listen = "127.0.0.1:7072";
  std::string data_dir;
  std::string pool = "anon";
  std::string capacity;
  bool allow_overcommit = false;
  std::string lease = "30s";
  std::string retention = "24h";
  std::string fault_deadline = "60s";
  std::string stop_grace = "5s";
  std::string log_format = "text";
  size_t max_sessions = 4096;
  int data_threads = 2;
  std::string message_memory = "1GiB";
};

std::string Environment(std::string option) {
  for (char& c : option) c = c == '-' ? '_' : static_cast<char>(toupper(c));
  return "FARSWAP_SERVER_" + option;
}

template <typename T>
CLI::Option* AddOption(CLI::App* app, const std::string& name, T* value,
                       const std::string& help, const std::string& type) {
  return app->add_option("--" + name, *value, help)
      ->envname(Environment(name))
      ->capture_default_str()
      ->type_name(type);
}

void Define(CLI::App* app, Texts* texts) {
  AddOption(app, "listen", &texts->listen, "Where clients come to", "ADDR");
  AddOption(app, "admin-listen", &texts->admin_listen,
            "Health, status, reflection and channelz", "ADDR");
  AddOption(app, "metrics-listen", &texts->metrics_listen,
            "Prometheus' /metrics", "HOST:PORT");
  AddOption(app, "data-dir", &texts->data_dir,
            "Who owns what; made if it does not exist. Keep it on a disk",
            "DIR")
      ->required();
  AddOption(app, "pool", &texts->pool,
            "The memory: anon (ends with the process), or a file on a tmpfs, "
            "a hugetlbfs or a disk",
            "anon|FILE");
  AddOption(app, "capacity", &texts->capacity,
            "How much to lend, such as 64GiB; costs nothing until it is used",
            "SIZE")
      ->required();
  app->add_flag("--allow-overcommit", texts->allow_overcommit,
                "Lend more than the machine or the file system has")
      ->envname(Environment("allow-overcommit"));
  AddOption(app, "lease", &texts->lease,
            "A client not heard of for so long may lose its memory, when it "
            "is needed",
            "TIME");
  AddOption(app, "retention", &texts->retention,
            "A client not heard of for so long does lose it", "TIME");
  AddOption(app, "fault-deadline-default", &texts->fault_deadline,
            "How long a client's memory is safe whatever the lease, if the "
            "client does not say",
            "TIME");
  AddOption(app, "max-sessions", &texts->max_sessions,
            "The most clients at a time", "N");
  AddOption(app, "data-threads", &texts->data_threads,
            "Threads that serve puts and gets, 1 to 16", "N");
  AddOption(app, "message-memory", &texts->message_memory,
            "What puts and gets on their way may take together, beside the "
            "pool",
            "SIZE");
  AddOption(app, "stop-grace", &texts->stop_grace,
            "How long calls under way may take to end on SIGTERM", "TIME");
  AddOption(app, "log-format", &texts->log_format,
            "Of the log on stderr: text or json", "FORMAT");
}

// Names the option an error is about.
absl::Status About(const std::string& option, const absl::Status& status) {
  return absl::InvalidArgumentError(
      absl::StrCat("--", option, ": ", status.message()));
}

absl::Status SetAddress(const std::string& option, const std::string& text,
                        std::optional<Address>* address) {
  auto parsed = Address::Parse(text);
  if (!parsed.ok()) return About(option, parsed.status());
  *address = *std::move(parsed);
  return absl::OkStatus();
}

absl::Status SetDuration(const std::string& option, const std::string& text,
                         std::chrono::milliseconds* duration) {
  const auto parsed = ParseDuration(text);
  if (!parsed.ok()) return About(option, parsed.status());
  *duration = *parsed;
  return absl::OkStatus();
}

absl::Status SetCapacity(const std::string& text, uint64_t* clusters) {
  const auto bytes = ParseSize(text);
  if (!bytes.ok()) return About("capacity", bytes.status());
  *clusters = *bytes / kClusterBytes;
  if (*clusters == 0 || *clusters > kMaxClusters) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--capacity: '", text, "' is out of range: write 2MiB to 1024TiB"));
  }
  return absl::OkStatus();
}

absl::Status SetMessageMemory(const std::string& text, size_t* to) {
  const auto bytes = ParseSize(text);
  if (!bytes.ok()) return About("message-memory", bytes.status());
  // Below, a few clients' puts could not come in together.
  if (*bytes < (uint64_t{64} << 20) || *bytes > (uint64_t{1} << 40)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--message-memory: '", text, "' is out of range: write 64MiB to 1TiB"));
  }
  *to = *bytes;
  return absl::OkStatus();
}

absl::Status CheckTimes(const Ownership::Options& options) {
  if (options.times.retention < options.times.lease) {
    return absl::InvalidArgumentError(
        "--retention: must not be shorter than --lease");
  }
  if (options.times.retention < options.default_fault_deadline) {
    return absl::InvalidArgumentError(
        "--retention: must not be shorter than --fault-deadline-default");
  }
  return absl::OkStatus();
}

absl::Status CheckRest(const Texts& texts, const Address& metrics) {
  if (metrics.is_unix()) {
    return absl::InvalidArgumentError(
        "--metrics-listen: a Unix socket is not served: write HOST:PORT, "
        "such as 127.0.0.1:0");
  }
  if (texts.data_dir.empty() || texts.pool.empty()) {
    return absl::InvalidArgumentError(
        "--data-dir and --pool must not be empty: name a directory, and anon "
        "or a file");
  }
  if (texts.data_threads < 1 || texts.data_threads > 16) {
    return absl::InvalidArgumentError("--data-threads: write 1 to 16");
  }
  if (texts.max_sessions < 1 || texts.max_sessions > 1'000'000) {
    return absl::InvalidArgumentError("--max-sessions: write 1 to 1000000");
  }
  if (texts.log_format != "text" && texts.log_format != "json") {
    return absl::InvalidArgumentError("--log-format: write text or json");
  }
  return absl::OkStatus();
}

absl::StatusOr<CommandLine> Convert(const Texts& texts) {
  std::optional<Address> listen, admin, metrics;
  Pool::Options pool{texts.pool, 0, texts.allow_overcommit};
  Ownership::Options ownership;
  ownership.max_sessions = texts.max_sessions;
  size_t message_bytes = 0;
  CommandLine line;
  line.log_json = texts.log_format == "json";
  for (const absl::Status& status :
       {SetAddress("listen", texts.listen, &listen),
        SetAddress("admin-listen", texts.admin_listen, &admin),
        SetAddress("metrics-listen", texts.metrics_listen, &metrics),
        SetCapacity(texts.capacity, &pool.clusters),
        SetDuration("lease", texts.lease, &ownership.times.lease),
        SetDuration("retention", texts.retention, &ownership.times.retention),
        SetDuration("fault-deadline-default", texts.fault_deadline,
                    &ownership.default_fault_deadline),
        SetMessageMemory(texts.message_memory, &message_bytes),
        SetDuration("stop-grace", texts.stop_grace, &line.stop_grace)}) {
    if (!status.ok()) return status;
  }
  absl::Status status = CheckTimes(ownership);
  if (status.ok()) status = CheckRest(texts, *metrics);
  if (!status.ok()) return status;
  line.options =
      ServerOptions{*listen, *admin,    *metrics,           texts.data_dir,
                    pool,    ownership, texts.data_threads, message_bytes,
                    nullptr};
  return line;
}

// CLI11 words some errors in several lines.
std::string OneLine(std::string text) {
  while (!text.empty() && text.back() == '\n') text.pop_back();
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

}  // namespace

absl::StatusOr<CommandLine> ParseCommandLine(int argc,
                                             const char* const* argv) {
  CLI::App app(kAbout, "farswap-server");
  app.set_version_flag("--version", std::string("farswap-server ") + kVersion);
  Texts texts;
  Define(&app, &texts);
  CommandLine line;
  // The library reports everything by throwing, its help included.
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    line.print = app.help();
    return line;
  } catch (const CLI::CallForVersion& version) {
    line.print = OneLine(version.what()) + "\n";
    return line;
  } catch (const CLI::ParseError& error) {
    return absl::InvalidArgumentError(OneLine(error.what()) +
                                      "; see farswap-server --help");
  }
  return Convert(texts);
}

}  // namespace farswap::server

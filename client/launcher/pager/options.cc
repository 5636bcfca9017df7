#include "client/launcher/pager/options.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>

#include "common/duration.h"
#include "common/flag_checks.h"
#include "common/size.h"
#include "common/version.h"

namespace farswap::launcher {
namespace {

constexpr char kAbout[] =
    "Pages for the programs of a farswap-run, which starts it with a socket as "
    "file\ndescriptor 3. Not to be started by hand: see farswap-run(1).";

}  // namespace

int ParseOptions(int argc, char** argv, Options* options) {
  CLI::App app(kAbout, "farswap-pager");
  app.set_version_flag("--version", std::string("farswap-pager ") + kVersion);
  std::string size, deadline;
  app.add_option("--servers", options->servers,
                 "The memory server; without: a private one");
  app.add_option("--local-memory", size, "Of all programs together")
      ->required()
      ->check(ParseInto(ParseSize, &options->local_memory));
  app.add_option("--fault-deadline", deadline,
                 "How long a server is waited for")
      ->check(ParseInto(ParseDuration, &options->fault_deadline));
  app.add_option("--stats", options->stats, "Where statistics go at the end");
  app.add_option("--metrics-listen", options->metrics_listen,
                 "Where /metrics is served");
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    std::fputs(app.help().c_str(), stdout);
    return 0;
  } catch (const CLI::CallForVersion&) {
    std::puts(app.version().c_str());
    return 0;
  } catch (const CLI::ParseError& error) {
    std::fprintf(stderr, "farswap-pager: %s\n", error.what());
    return 2;
  }
  return -1;
}

}  // namespace farswap::launcher

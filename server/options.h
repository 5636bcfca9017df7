// farswap-server's command line.
#ifndef FARSWAP_SERVER_OPTIONS_H_
#define FARSWAP_SERVER_OPTIONS_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "server/server.h"

namespace farswap::server {

struct CommandLine {
  // Set unless only `print` is wanted.
  std::optional<ServerOptions> options;
  std::chrono::milliseconds stop_grace{0};
  bool log_json = false;
  // The help or the version.
  std::string print;
};

// INVALID_ARGUMENT in one line that says what would be right.
absl::StatusOr<CommandLine> ParseCommandLine(int argc, const char* const* argv);

}  // namespace farswap::server

#endif  // FARSWAP_SERVER_OPTIONS_H_

// farswap-run's command line.
#ifndef FARSWAP_CLIENT_LAUNCHER_RUN_OPTIONS_H_
#define FARSWAP_CLIENT_LAUNCHER_RUN_OPTIONS_H_

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace farswap::launcher {

struct Options {
  std::string servers;  // Empty: the pager starts a private one.
  // Bytes, of the whole tree; at least 16 MiB. Default: DefaultLocalMemory.
  uint64_t local_memory = 0;
  std::chrono::milliseconds fault_deadline{60000};  // At least 100 ms.
  std::string stats;           // A file to write at the end; empty: none.
  std::string metrics_listen;  // Empty: nowhere.
  bool strict = false;
  // COMMAND and its arguments.
  std::vector<std::string> command;
};

// Fills *options. If the program is to end now, prints what there is to print
// (the help, or one line that says what is wrong and what would be right) and
// returns its exit status, 0 or 2; else -1. Nothing has been started then.
int ParseOptions(int argc, char** argv, Options* options);

}  // namespace farswap::launcher

#endif  // FARSWAP_CLIENT_LAUNCHER_RUN_OPTIONS_H_

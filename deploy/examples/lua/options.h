// farlua's command line.
#ifndef FARSWAP_DEPLOY_EXAMPLES_LUA_OPTIONS_H_
#define FARSWAP_DEPLOY_EXAMPLES_LUA_OPTIONS_H_

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace farswap::farlua {

struct Options {
  std::string servers;  // Empty: a private one.
  uint64_t local_memory = 0;
  uint64_t heap = 0;
  std::chrono::milliseconds fault_deadline{60000};
  std::string metrics_listen;  // Empty: nowhere.
  std::string stats;           // A file to write at exit; empty: none.
  bool plain = false;
  // SCRIPT and its arguments.
  std::vector<std::string> script;
};

// Fills *options. If the program is to end now, prints what there is to print
// (the help, or one line that says what is wrong and what would be right) and
// returns its exit status, 0 or 2; else -1. Nothing has been started then.
int ParseOptions(int argc, char** argv, Options* options);

}  // namespace farswap::farlua

#endif  // FARSWAP_DEPLOY_EXAMPLES_LUA_OPTIONS_H_

// farswap-pager's command line. farswap-run writes it; it is for no one else.
#ifndef FARSWAP_CLIENT_LAUNCHER_PAGER_OPTIONS_H_
#define FARSWAP_CLIENT_LAUNCHER_PAGER_OPTIONS_H_

#include <chrono>
#include <cstdint>
#include <string>

namespace farswap::launcher {

struct Options {
  std::string servers;  // Empty: a private one.
  uint64_t local_memory = 0;
  std::chrono::milliseconds fault_deadline{60000};
  std::string stats;           // A file; empty: none.
  std::string metrics_listen;  // HOST:PORT; empty: nobody listens.
};

// The exit status, if the program is to end now (--help, an error, which was
// said); else -1.
int ParseOptions(int argc, char** argv, Options* options);

}  // namespace farswap::launcher

#endif  // FARSWAP_CLIENT_LAUNCHER_PAGER_OPTIONS_H_

// The statistics of a run that needed no far memory.
#ifndef FARSWAP_CLIENT_LAUNCHER_RUN_ZERO_STATS_H_
#define FARSWAP_CLIENT_LAUNCHER_RUN_ZERO_STATS_H_

#include <string>

namespace farswap::launcher {

// The members of farswap_stats (client/runtime/stats_json.h), all zero, as
// farlua's --stats writes them. By hand: the runtime would bring gRPC along.
std::string ZeroStats();

// False if it cannot be written.
bool WriteZeroStats(const std::string& path);

}  // namespace farswap::launcher

#endif  // FARSWAP_CLIENT_LAUNCHER_RUN_ZERO_STATS_H_

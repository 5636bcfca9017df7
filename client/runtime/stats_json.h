// farswap_stats as a JSON object.
#ifndef FARSWAP_CLIENT_RUNTIME_STATS_JSON_H_
#define FARSWAP_CLIENT_RUNTIME_STATS_JSON_H_

#include <string>

#include "client/runtime/farswap.h"

namespace farswap::runtime {

// One member per field but `size`, in the struct's order and by its names;
// counts by order are arrays of FARSWAP_ORDERS.
std::string StatsJson(const farswap_stats& stats);

}  // namespace farswap::runtime

#endif  // FARSWAP_CLIENT_RUNTIME_STATS_JSON_H_

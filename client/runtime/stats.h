// farswap_stats out of what the pager counts.
#ifndef FARSWAP_CLIENT_RUNTIME_STATS_H_
#define FARSWAP_CLIENT_RUNTIME_STATS_H_

#include "client/pager/pager_stats.h"
#include "client/runtime/farswap.h"

namespace farswap::runtime {

farswap_stats ToStats(const pager::PagerStats& from);

}  // namespace farswap::runtime

#endif  // FARSWAP_CLIENT_RUNTIME_STATS_H_

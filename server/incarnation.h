// Whether a pool's bytes are those that the metadata speaks of.
#ifndef FARSWAP_SERVER_INCARNATION_H_
#define FARSWAP_SERVER_INCARNATION_H_

#include <cstdint>
#include <string>

#include "server/metadata.h"
#include "server/pool_header.h"

namespace farswap::server {

// Empty if pool and metadata match, so that everything continues. Else why
// they do not, for the log: a new incarnation has to begin, and every client
// is told DATA_LOSS. In doubt they do not match: never zeros, never another's.
std::string WhyNewIncarnation(const PoolFacts& pool, const Identity& identity,
                              uint64_t granted_clusters);

}  // namespace farswap::server

#endif  // FARSWAP_SERVER_INCARNATION_H_

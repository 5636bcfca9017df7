#include "server/incarnation.h"

namespace farswap::server {

std::string WhyNewIncarnation(const PoolFacts& pool, const Identity& identity,
                              uint64_t granted_clusters) {
  if (!pool.no_header.empty()) return pool.no_header;
  if (identity.incarnation == 0) return "the data directory is new";
  if (pool.incarnation == 0) {
    return "the pool was being emptied when the server stopped";
  }
  if (pool.server_id != identity.server_id) {
    return "the pool file is of another server, " + pool.server_id;
  }
  if (pool.incarnation != identity.incarnation) {
    return "the pool file is of another incarnation";
  }
  if (pool.committed > identity.sequence) {
    return "the metadata is older than the pool file, as after a restore";
  }
  if (pool.intended < identity.sequence) {
    return "the pool file is older than the metadata";
  }
  if (pool.file_clusters < pool.recorded_clusters) {
    return "the pool file was truncated";
  }
  if (pool.backed_clusters < granted_clusters) {
    return "parts of the pool file are missing";
  }
  if (pool.on_disk && !pool.same_boot && !pool.clean) {
    return "the machine stopped before the pool file was written out";
  }
  return "";
}

}  // namespace farswap::server

// The name of a granted cluster, as core and the transport both know it.
#ifndef FARSWAP_CLIENT_CORE_CLUSTER_GRANT_H_
#define FARSWAP_CLIENT_CORE_CLUSTER_GRANT_H_

#include <cstdint>

namespace farswap::core {

// What a server granted, as the transport knows it.
struct ClusterGrant {
  uint64_t cluster = 0;     // The server's number.
  uint64_t generation = 0;  // Fences the cluster's earlier owners.
  // Which of the transport's sessions it belongs to; opaque here.
  uint32_t session = 0;

  bool operator==(const ClusterGrant&) const = default;
};

}  // namespace farswap::core

#endif  // FARSWAP_CLIENT_CORE_CLUSTER_GRANT_H_

// The seam between the pager and the memory servers.
//
// A transport owns sessions, connections, retries and fencing; the pager
// knows clusters, slots and bytes. Two implementations: GrpcTransport, and
// tests' in-memory one (tests/client/remote/memory_transport.h).
//
// Thread-safe. No function is to be called with a pager's lock held, except
// StartPut and IsLost, which neither block nor call back from inside.
//
// Errors, chosen by what the pager does next:
//   DATA_LOSS           what the cluster held is gone for good: the region's
//                       failure policy decides, now.
//   RESOURCE_EXHAUSTED  no server grants more: reclaim slots, then wait.
//   DEADLINE_EXCEEDED   not served until the deadline, after retries.
//   CANCELLED           the transport was shut down.
// Nothing else is returned: what can be retried is retried inside, until the
// deadline, and fenced.
#ifndef FARSWAP_CLIENT_REMOTE_TRANSPORT_H_
#define FARSWAP_CLIENT_REMOTE_TRANSPORT_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "client/core/cluster_grant.h"
#include "common/units.h"

namespace farswap::remote {

using Deadline = std::chrono::steady_clock::time_point;

// Where a folio is: 2^order slots from `slot`, a multiple of 2^order.
struct FolioRef {
  core::ClusterGrant grant;
  uint32_t slot = 0;
  int order = 0;
};

// One folio on its way out. The caller owns it and keeps it, and its bytes
// unchanged and in place, until OnDone has been called, exactly once, on a
// thread of the transport: then the outcome is known and no slice of the
// bytes is out any more. A put is repeated inside until it is stored or its
// cluster is lost; so OnDone says OK, DATA_LOSS, or CANCELLED at shutdown.
class PutOp {
 public:
  PutOp() = default;
  PutOp(const PutOp&) = delete;
  PutOp& operator=(const PutOp&) = delete;
  virtual ~PutOp() = default;

  // May take the pager's locks; may destroy the op; must not block on I/O.
  virtual void OnDone(const absl::Status& status) = 0;

  // Set by the caller before StartPut.
  FolioRef ref;
  const char* data = nullptr;  // BytesOf(ref.order).
};

// Told of a get's bytes while they are still in the processor's cache.
class GetSink {
 public:
  virtual ~GetSink() = default;
  // `into` is filled from its start to `to`, as far as `from` before. Called on
  // the getting thread, once for each 64 KiB and for a shorter rest; again from
  // 0 on if an attempt is repeated.
  virtual void Filled(size_t from, size_t to) = 0;
};

struct TransportStats {
  uint64_t gets = 0;  // RPCs, retries included.
  uint64_t puts = 0;
  uint64_t get_bytes = 0;      // Of folios received.
  uint64_t put_bytes = 0;      // Of folios acknowledged.
  uint64_t retries = 0;        // Calls repeated after a failure.
  uint64_t attaches = 0;       // Sessions attached again.
  uint64_t sessions_lost = 0;  // Sessions whose contents were lost.
  bool connected = false;      // The last call was answered.
};

class Transport {
 public:
  Transport() = default;
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;
  virtual ~Transport() = default;

  // Grants at least one and at most `count` clusters.
  virtual absl::StatusOr<std::vector<core::ClusterGrant>> AllocateClusters(
      uint32_t count, Deadline deadline) = 0;

  // Gives clusters back. Best effort: a failure leaves them to the session's
  // end, and is returned for counting.
  virtual absl::Status FreeClusters(absl::Span<const core::ClusterGrant> grants,
                                    Deadline deadline) = 0;

  // Reads folios, one after another, into `into`, whose size is the sum of
  // theirs. On the caller's thread: a hand-over would cost as much as the
  // network. On failure `into` holds anything.
  // `sink` may be null.
  virtual absl::Status Get(absl::Span<const FolioRef> folios,
                           absl::Span<char> into, Deadline deadline,
                           GetSink* sink) = 0;
  absl::Status Get(absl::Span<const FolioRef> folios, absl::Span<char> into,
                   Deadline deadline) {
    return Get(folios, into, deadline, nullptr);
  }

  // Whether what the cluster held is known to be gone. Asks nobody; for the
  // last look before a local copy is given up for the one that is stored.
  virtual bool IsLost(const core::ClusterGrant& grant) const = 0;

  // Starts a put; see PutOp. At most max_puts() may be under way.
  virtual void StartPut(PutOp* op) = 0;
  virtual int max_puts() const = 0;

  // The thread ids the transport's own threads have: a fault by one of them
  // is a bug that the pager reports instead of hanging.
  virtual std::vector<int> ThreadIds() const = 0;

  // Ends every wait: calls under way return CANCELLED, puts are done with
  // CANCELLED as soon as their bytes are free. Closes the sessions, by best
  // effort, until the deadline.
  virtual void Shutdown(Deadline deadline) = 0;

  virtual TransportStats Stats() const = 0;
};

}  // namespace farswap::remote

#endif  // FARSWAP_CLIENT_REMOTE_TRANSPORT_H_

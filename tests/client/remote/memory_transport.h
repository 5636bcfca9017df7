// A Transport whose server is the test's own memory: real bytes, a real
// thread that completes puts, and faults on demand. No gRPC, so that what is
// built on it can be raced under TSan.
//
// It also holds its caller to the seam's rules, and aborts with a message
// when one is broken: a folio that is not aligned or not granted, a buffer of
// another size, more puts than max_puts(), two puts of one slot at a time,
// bytes that change while their put is under way.
//
// Thread-safe.
#ifndef FARSWAP_TESTS_CLIENT_REMOTE_MEMORY_TRANSPORT_H_
#define FARSWAP_TESTS_CLIENT_REMOTE_MEMORY_TRANSPORT_H_

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "client/core/cluster_grant.h"
#include "client/remote/transport.h"
#include "common/mutex.h"
#include "common/units.h"

namespace farswap::remote {

class MemoryTransport final : public Transport {
 public:
  struct Options {
    // AllocateClusters answers RESOURCE_EXHAUSTED beyond this many.
    size_t max_clusters = 64;
    int max_puts = 16;
  };
  enum Call { kAllocate, kFree, kGet, kPut };

  // Folios stored and read, by order, whatever RPC they shared.
  struct Counters {
    std::array<uint64_t, kOrders> gets = {};
    std::array<uint64_t, kOrders> puts = {};
  };

  explicit MemoryTransport(const Options& options);
  // Shuts down; every put is done before it returns.
  ~MemoryTransport() override;

  absl::StatusOr<std::vector<core::ClusterGrant>> AllocateClusters(
      uint32_t count, Deadline deadline) override;
  absl::Status FreeClusters(absl::Span<const core::ClusterGrant> grants,
                            Deadline deadline) override;
  using Transport::Get;
  absl::Status Get(absl::Span<const FolioRef> folios, absl::Span<char> into,
                   Deadline deadline, GetSink* sink) override;
  bool IsLost(const core::ClusterGrant& grant) const override;
  void StartPut(PutOp* op) override;
  int max_puts() const override { return options_.max_puts; }
  std::vector<int> ThreadIds() const override;
  void Shutdown(Deadline deadline) override;
  TransportStats Stats() const override;

  // --- faults ---

  // Calls of that kind wait, as for a server that does not answer, until
  // Release, ReleaseOne, their deadline or Shutdown. A held put has its bytes
  // neither stored nor free.
  void Hold(Call call);
  void Release(Call call);
  void ReleaseOne(Call call);
  // Waits until `count` calls of that kind are held. False after 30 s.
  bool WaitHeld(Call call, size_t count);
  // How many are held now.
  size_t held(Call call) const;

  // The next `times` calls of that kind end with `status`, nothing done.
  void FailNext(Call call, const absl::Status& status, int times);
  // Runs for every get (its first folio) or put, without locks, on the
  // thread that serves it, before anything is done. Null removes it.
  void SetHook(Call call, std::function<void(const FolioRef&)> hook);
  // Flips one bit in what each of the next `times` gets returns.
  void CorruptNextGets(int times);
  // The server comes back empty: what is granted now is DATA_LOSS from now
  // on. New grants work.
  void LoseContents();

  Counters counters() const;
  size_t granted_clusters() const;
  // Started, and OnDone has not returned.
  size_t puts_under_way() const;

 private:
  static constexpr int kCalls = 4;

  struct FreeBytes {
    void operator()(char* bytes) const { std::free(bytes); }
  };
  struct Cluster {
    core::ClusterGrant grant;
    std::unique_ptr<char, FreeBytes> bytes;  // kClusterBytes, zero at first.
  };
  struct Gate {
    bool closed = false;
    size_t held = 0;
    size_t tickets = 0;  // Of ReleaseOne: calls that may pass all the same.
    int fail_times = 0;
    absl::Status fail_status;
    std::function<void(const FolioRef&)> hook;
  };
  struct Put {
    PutOp* op = nullptr;
    uint64_t hash = 0;  // Of its bytes when it was started.
  };

  // The way into every call: hook, hold, injected failure.
  absl::Status Enter(Call call, const FolioRef* ref, Deadline deadline)
      ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status WaitAtGate(Gate* gate, Deadline deadline)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The folio's bytes, or DATA_LOSS.
  absl::StatusOr<char*> Find(const FolioRef& ref)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void PutThread() ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status Store(const Put& put) ABSL_LOCKS_EXCLUDED(mu_);

  const Options options_;

  mutable Mutex mu_;
  CondVar changed_;
  Gate gates_[kCalls] ABSL_GUARDED_BY(mu_);
  std::map<uint64_t, Cluster> clusters_ ABSL_GUARDED_BY(mu_);
  std::deque<Put> puts_ ABSL_GUARDED_BY(mu_);
  // By (cluster, first slot): to find two puts of one slot.
  std::map<std::pair<uint64_t, uint32_t>, uint32_t> putting_
      ABSL_GUARDED_BY(mu_);
  bool ending_ ABSL_GUARDED_BY(mu_) = false;  // In a put's OnDone.
  uint64_t next_cluster_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t next_generation_ ABSL_GUARDED_BY(mu_) = 1;
  uint32_t session_ ABSL_GUARDED_BY(mu_) = 1;
  int corrupt_gets_ ABSL_GUARDED_BY(mu_) = 0;
  bool shut_down_ ABSL_GUARDED_BY(mu_) = false;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  int thread_id_ ABSL_GUARDED_BY(mu_) = 0;
  Counters counters_ ABSL_GUARDED_BY(mu_);
  TransportStats stats_ ABSL_GUARDED_BY(mu_);

  std::thread thread_;
};

}  // namespace farswap::remote

#endif  // FARSWAP_TESTS_CLIENT_REMOTE_MEMORY_TRANSPORT_H_

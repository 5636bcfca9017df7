// The Transport that speaks farswap.v1 to a memory server over gRPC.
//
// README.md in this folder tells how a call is retried and fenced.
#ifndef FARSWAP_CLIENT_REMOTE_GRPC_TRANSPORT_H_
#define FARSWAP_CLIENT_REMOTE_GRPC_TRANSPORT_H_

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "client/remote/transport.h"
#include "common/address.h"
#include "common/mutex.h"

namespace farswap::remote {

class ClusterCalls;
class Counters;
class GetPath;
class PutPath;
class Session;
class ShutdownGate;

class GrpcTransport final : public Transport {
 public:
  struct Options {
    // Required. At the moment exactly one.
    std::vector<Address> servers;
    // How long the client's faults wait; the server reclaims nothing of ours
    // sooner, and refuses the session if that is longer than it retains.
    std::chrono::milliseconds fault_deadline{60'000};
    // For people, in the server's list of sessions.
    std::string client_name;
    // Puts under way at a time: 1 or more. Each pins its folio's staging.
    int max_puts = 16;
    // How long Create tries to get a session.
    std::chrono::milliseconds open_deadline{10'000};
  };

  // Connects and opens a session.
  //   INVALID_ARGUMENT  an option is wrong, or the server refuses it
  //   UNAVAILABLE       no server answered in time
  static absl::StatusOr<std::unique_ptr<GrpcTransport>> Create(
      const Options& options);

  // Shuts down, within seconds if that has not been done.
  ~GrpcTransport() override;

  absl::StatusOr<std::vector<core::ClusterGrant>> AllocateClusters(
      uint32_t count, Deadline deadline) override;
  absl::Status FreeClusters(absl::Span<const core::ClusterGrant> grants,
                            Deadline deadline) override;
  using Transport::Get;
  absl::Status Get(absl::Span<const FolioRef> folios, absl::Span<char> into,
                   Deadline deadline, GetSink* sink) override;
  bool IsLost(const core::ClusterGrant& grant) const override;
  void StartPut(PutOp* op) override;
  int max_puts() const override { return max_puts_; }
  std::vector<int> ThreadIds() const override;
  void Shutdown(Deadline deadline) override;
  TransportStats Stats() const override;

 private:
  explicit GrpcTransport(int max_puts);

  const int max_puts_;
  // In the order of their use of each other.
  std::unique_ptr<Counters> counters_;
  std::unique_ptr<ShutdownGate> gate_;
  std::unique_ptr<Session> session_;
  std::unique_ptr<ClusterCalls> clusters_;
  std::unique_ptr<GetPath> gets_;
  std::unique_ptr<PutPath> puts_;

  Mutex shutdown_mu_;
  bool shut_down_ ABSL_GUARDED_BY(shutdown_mu_) = false;
};

}  // namespace farswap::remote

#endif  // FARSWAP_CLIENT_REMOTE_GRPC_TRANSPORT_H_

// A memory server inside the test, built from the generated classes: what the
// client encodes by hand is read, and answered, by protobuf itself. It fences
// by epoch and generation as the protocol says, and fails as it is told.
//
// Thread-safe.
#ifndef FARSWAP_TESTS_CLIENT_REMOTE_FAKE_SERVER_H_
#define FARSWAP_TESTS_CLIENT_REMOTE_FAKE_SERVER_H_

#include <grpcpp/server.h>

#include <array>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/mutex.h"
#include "proto/farswap/v1/cluster.grpc.pb.h"
#include "proto/farswap/v1/error.pb.h"
#include "proto/farswap/v1/folio.grpc.pb.h"
#include "proto/farswap/v1/session.grpc.pb.h"

namespace farswap::remote {

// A failure as the protocol wants it: with an ErrorDetail.
grpc::Status ServerError(grpc::StatusCode code, v1::Reason reason,
                         int retry_delay_ms = 0);

class FakeServer final : public v1::SessionService::Service,
                         public v1::ClusterService::Service,
                         public v1::FolioService::Service {
 public:
  enum Method {
    kOpen,
    kAttach,
    kKeepAlive,
    kClose,
    kAllocate,
    kFree,
    kGet,
    kPut
  };
  static constexpr int kMethods = 8;

  struct Options {
    int lease_ms = 60'000;
    uint32_t max_batch_folios = 4;
    uint32_t max_batch_clusters = 2;
    size_t clusters = 8;
  };

  explicit FakeServer(const Options& options);
  ~FakeServer() override;

  // 127.0.0.1:PORT.
  const std::string& address() const { return address_; }

  // The next call of that method answers `status`: with `done`, after it has
  // done its work.
  void Inject(Method method, const grpc::Status& status, bool done = false);
  // Gets answer bodies that are so much longer (or shorter) than they should.
  void MangleNextGet(int extra_bytes);
  // Calls of that method wait until they are released or cancelled.
  void Hold(Method method);
  void Release(Method method);
  // Waits for the method's `count`th call; false after 30 s.
  bool WaitCalls(Method method, int count);
  // Every session and byte is gone, as after a restart with a new pool.
  void LoseContents();
  // Somebody else attaches.
  void StealEpoch();

  int calls(Method method) const;
  size_t granted() const;
  uint32_t epoch() const;
  // The ids that AllocateClusters came with, in order.
  std::vector<uint64_t> request_ids() const;

 private:
  struct Fault {
    grpc::Status status;
    bool done = false;
  };
  struct Gate {
    int calls = 0;
    bool held = false;
    std::deque<Fault> faults;
  };
  struct Cluster {
    uint64_t generation = 0;
    std::map<uint32_t, std::string> pages;  // By slot; absent is zero.
  };

  // Counts the call, holds it, takes its fault.
  Fault Enter(Method method, grpc::ServerContext* context)
      ABSL_LOCKS_EXCLUDED(mu_);
  grpc::Status CheckSession(uint64_t id, uint32_t epoch) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  grpc::Status CheckFolio(const v1::FolioRef& folio) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Answers what was injected, or else what `work` did.
  template <typename Work>
  grpc::Status Serve(Method method, grpc::ServerContext* context, Work work);

  grpc::Status OpenSession(grpc::ServerContext* context,
                           const v1::OpenSessionRequest* request,
                           v1::OpenSessionResponse* response) override;
  grpc::Status AttachSession(grpc::ServerContext* context,
                             const v1::AttachSessionRequest* request,
                             v1::AttachSessionResponse* response) override;
  grpc::Status KeepAlive(grpc::ServerContext* context,
                         const v1::KeepAliveRequest* request,
                         v1::KeepAliveResponse* response) override;
  grpc::Status CloseSession(grpc::ServerContext* context,
                            const v1::CloseSessionRequest* request,
                            v1::CloseSessionResponse* response) override;
  grpc::Status AllocateClusters(
      grpc::ServerContext* context, const v1::AllocateClustersRequest* request,
      v1::AllocateClustersResponse* response) override;
  grpc::Status FreeClusters(grpc::ServerContext* context,
                            const v1::FreeClustersRequest* request,
                            v1::FreeClustersResponse* response) override;
  grpc::Status GetFolios(grpc::ServerContext* context,
                         const v1::GetFoliosRequest* request,
                         v1::GetFoliosResponse* response) override;
  grpc::Status PutFolios(grpc::ServerContext* context,
                         const v1::PutFoliosRequest* request,
                         v1::PutFoliosResponse* response) override;

  const Options options_;
  std::string address_;
  std::unique_ptr<grpc::Server> server_;

  mutable Mutex mu_;
  CondVar changed_;
  std::array<Gate, kMethods> gates_ ABSL_GUARDED_BY(mu_);
  uint64_t session_id_ ABSL_GUARDED_BY(mu_) = 0;  // 0: none.
  uint64_t next_session_id_ ABSL_GUARDED_BY(mu_) = 100;
  uint32_t epoch_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t next_generation_ ABSL_GUARDED_BY(mu_) = 1;
  int extra_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  std::map<uint64_t, Cluster> clusters_ ABSL_GUARDED_BY(mu_);
  std::map<uint64_t, v1::AllocateClustersResponse> granted_by_request_
      ABSL_GUARDED_BY(mu_);
  std::vector<uint64_t> request_ids_ ABSL_GUARDED_BY(mu_);
};

}  // namespace farswap::remote

#endif  // FARSWAP_TESTS_CLIENT_REMOTE_FAKE_SERVER_H_

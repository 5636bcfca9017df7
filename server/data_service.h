// farswap.v1.FolioService: puts and gets, on raw slices.
//
// A put's body is copied once, from the slices it was received in to the
// pool. A get's body of more than kCopyBytes is not copied at all: its slices
// are the pool's memory, and hold the batch, and so the clusters' pins, until
// gRPC has sent or dropped them; a cluster that is freed meanwhile is emptied
// only after that. Smaller bodies are copied, which costs less than a pin
// that outlives the call.
#ifndef FARSWAP_SERVER_DATA_SERVICE_H_
#define FARSWAP_SERVER_DATA_SERVICE_H_

#include <grpcpp/server_builder.h>
#include <grpcpp/support/byte_buffer.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/farswap/v1/folio.grpc.pb.h"
#include "server/call_loop.h"
#include "server/folio_store.h"
#include "server/metrics.h"

namespace farswap::server {

// A request's header: 512 folios of at most 30 bytes, and some room.
inline constexpr int kMaxReceiveBytes = (2 << 20) + (64 << 10);
// Puts and gets that arrived and are not yet answered. One holds up to 2 MiB.
inline constexpr uint64_t kMaxInFlight = 512;
// Of these, one session's: a client that does not read its answers leaves
// room for others. A client of ours has at most 16 puts and a get a fault.
inline constexpr uint32_t kMaxInFlightOfSession = 128;
// And one connection's. A put's body is buffered before anybody sees it:
// 64 x 2 MiB is the most that one connection can make the server hold.
inline constexpr int kMaxInFlightOfConnection = 64;

class DataService {
 public:
  // All outlive the service.
  DataService(const FolioStore* store, Metrics* metrics)
      : store_(store), metrics_(metrics) {}

  void Register(grpc::ServerBuilder* builder) {
    builder->RegisterService(&service_);
  }
  // Once the server is built.
  void Start(CallLoop* loop);

 private:
  using Service = v1::FolioService::WithRawMethod_PutFolios<
      v1::FolioService::WithRawMethod_GetFolios<v1::FolioService::Service>>;
  class FolioCall;
  class Place;

  void Listen(Method method, CallLoop* loop);
  absl::Status Put(const grpc::ByteBuffer& request, Place* place,
                   grpc::ByteBuffer* response) const;
  absl::Status Get(const grpc::ByteBuffer& request, Place* place,
                   grpc::ByteBuffer* response) const;

  const FolioStore* const store_;
  Metrics* const metrics_;
  Service service_;
};

}  // namespace farswap::server

#endif  // FARSWAP_SERVER_DATA_SERVICE_H_

#include "server/data_service.h"

#include <grpc/slice.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/async_unary_call.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "common/folio_wire.h"
#include "server/error.h"
#include "server/grpc_status.h"

namespace farswap::server {
namespace {

// Up to here a copy (about 1 us at 16 KiB) is cheaper than slices with a
// callback each, and the cluster is free to go as soon as it is made.
constexpr size_t kCopyBytes = 16 << 10;

absl::InlinedVector<FolioName, 8> Names(const WireFolioHeader& header) {
  absl::InlinedVector<FolioName, 8> names;
  for (const WireFolioRef& ref : header.folios) {
    names.push_back({ref.cluster, ref.generation, ref.slot, ref.order});
  }
  return names;
}

absl::Status Malformed(const absl::Status& status) {
  const std::string message(status.message());
  return Refuse(Reason::kMalformed, message);
}

// A batch whose bytes gRPC holds: it ends with the last of its slices.
class SharedBatch {
 public:
  explicit SharedBatch(FolioBatch batch)
      : batch_(std::move(batch)), slices_(batch_.pieces().size()) {}

  static void OnSliceGone(void* self) {
    auto* const shared = static_cast<SharedBatch*>(self);
    if (shared->slices_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      delete shared;
    }
  }

  const FolioBatch& batch() const { return batch_; }

 private:
  const FolioBatch batch_;
  std::atomic<size_t> slices_;
};

void AddCopied(const FolioBatch& batch, std::vector<grpc::Slice>* slices) {
  grpc_slice copy = grpc_slice_malloc(batch.bytes());
  uint8_t* to = GRPC_SLICE_START_PTR(copy);
  for (const FolioBatch::Piece& piece : batch.pieces()) {
    std::memcpy(to, piece.data, piece.bytes);
    to += piece.bytes;
  }
  slices->emplace_back(copy, grpc::Slice::STEAL_REF);
}

void AddShared(FolioBatch batch, std::vector<grpc::Slice>* slices) {
  auto* const shared = new SharedBatch(std::move(batch));
  for (const FolioBatch::Piece& piece : shared->batch().pieces()) {
    slices->emplace_back(piece.data, piece.bytes, &SharedBatch::OnSliceGone,
                         shared);
  }
}

}  // namespace

// A call's place among its session's, for as long as the call lasts.
class DataService::Place {
 public:
  Place() = default;
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;
  ~Place() {
    if (session_ != nullptr) session_->LeavePlace();
  }

  absl::Status Take(const std::shared_ptr<Session>& session) {
    if (!session->TakePlace(kMaxInFlightOfSession)) {
      return Refuse(Reason::kLimit,
                    "too many puts and gets of the session are under way");
    }
    session_ = session;
    return absl::OkStatus();
  }

 private:
  std::shared_ptr<Session> session_;
};

// One put or get, from waiting for it to having answered it.
class DataService::FolioCall : public Call {
 public:
  FolioCall(DataService* service, Method method, CallLoop* loop)
      : Call(loop), service_(service), method_(method), writer_(&context_) {
    if (method == kPutFolios) {
      service_->service_.RequestPutFolios(&context_, &request_, &writer_,
                                          queue(), queue(), this);
    } else {
      service_->service_.RequestGetFolios(&context_, &request_, &writer_,
                                          queue(), queue(), this);
    }
  }

  void OnEvent(bool ok) override {
    if (!arrived() && ok) {
      Answer();
      return;
    }
    if (arrived()) {
      Metrics& metrics = *service_->metrics_;
      metrics.in_flight.fetch_sub(1, std::memory_order_relaxed);
      metrics.calls[method_].Record(code_, Now() - start_);
    }
    delete this;
  }

 private:
  static std::chrono::steady_clock::time_point Now() {
    return std::chrono::steady_clock::now();
  }

  absl::Status Handle(grpc::ByteBuffer* response) {
    std::atomic<uint64_t>& in_flight = service_->metrics_->in_flight;
    if (in_flight.fetch_add(1, std::memory_order_relaxed) >= kMaxInFlight) {
      return Refuse(Reason::kLimit,
                    "too many puts and gets are under way on this server");
    }
    return method_ == kPutFolios ? service_->Put(request_, &place_, response)
                                 : service_->Get(request_, &place_, response);
  }

  void Answer() {
    start_ = Now();
    if (Arrive()) service_->Listen(method_, loop());
    grpc::ByteBuffer response;
    const absl::Status status = Handle(&response);
    code_ = status.code();
    if (status.ok()) {
      writer_.Finish(response, grpc::Status::OK, this);
    } else {
      writer_.FinishWithError(ToGrpcStatus(status), this);
    }
  }

  DataService* const service_;
  const Method method_;
  grpc::ServerContext context_;
  grpc::ByteBuffer request_;
  grpc::ServerAsyncResponseWriter<grpc::ByteBuffer> writer_;
  Place place_;
  absl::StatusCode code_ = absl::StatusCode::kOk;
  std::chrono::steady_clock::time_point start_;
};

void DataService::Listen(Method method, CallLoop* loop) {
  // Deletes itself.
  new FolioCall(this, method, loop);
}

void DataService::Start(CallLoop* loop) {
  // gRPC keeps what arrives until it is waited for; a few waiting calls spare
  // it that when both threads are busy.
  constexpr int kWaiting = 16;
  for (int i = 0; i < kWaiting; ++i) {
    Listen(kPutFolios, loop);
    Listen(kGetFolios, loop);
  }
}

absl::Status DataService::Put(const grpc::ByteBuffer& request, Place* place,
                              grpc::ByteBuffer* response) const {
  WireMessage message;
  absl::Status status = message.Init(request);
  if (!status.ok()) return Malformed(status);
  WireFolioHeader header;
  SliceCursor body;
  status = ParsePut(message.slices(), kMaxBatchFolios, &header, &body);
  if (!status.ok()) return Malformed(status);
  const absl::StatusOr<FolioBatch> batch = store_->BeginPut(
      header.session_id, header.epoch, Names(header), body.remaining());
  if (!batch.ok()) return batch.status();
  status = place->Take(batch->session());
  if (!status.ok()) return status;
  for (const FolioBatch::Piece& piece : batch->pieces()) {
    // The body was found as long as the folios are.
    if (!body.CopyTo(piece.data, piece.bytes)) {
      return absl::InternalError("the body ended early");
    }
  }
  metrics_->put_bytes.fetch_add(batch->bytes(), std::memory_order_relaxed);
  const grpc::Slice empty;
  *response = grpc::ByteBuffer(&empty, 1);
  return absl::OkStatus();
}

absl::Status DataService::Get(const grpc::ByteBuffer& request, Place* place,
                              grpc::ByteBuffer* response) const {
  WireMessage message;
  absl::Status status = message.Init(request);
  if (!status.ok()) return Malformed(status);
  WireFolioHeader header;
  status = ParseGet(message.slices(), kMaxBatchFolios, &header);
  if (!status.ok()) return Malformed(status);
  absl::StatusOr<FolioBatch> batch =
      store_->BeginGet(header.session_id, header.epoch, Names(header));
  if (!batch.ok()) return batch.status();
  status = place->Take(batch->session());
  if (!status.ok()) return status;
  const size_t bytes = batch->bytes();
  std::vector<grpc::Slice> slices;
  slices.push_back(EncodeGetResponseHeader(bytes));
  if (bytes <= kCopyBytes) {
    AddCopied(*batch, &slices);
  } else {
    AddShared(*std::move(batch), &slices);
  }
  *response = grpc::ByteBuffer(slices.data(), slices.size());
  metrics_->got_bytes.fetch_add(bytes, std::memory_order_relaxed);
  return absl::OkStatus();
}

}  // namespace farswap::server

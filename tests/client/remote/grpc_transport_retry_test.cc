// Calls that fail, are repeated, fenced, cut off or never answered.
#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/client/remote/fake_server.h"
#include "tests/client/remote/grpc_transport_fixture.h"
#include "tests/client/remote/waiting_put.h"

namespace farswap::remote {
namespace {

using grpc::StatusCode;
using std::chrono::milliseconds;
using std::chrono::seconds;

using GrpcTransportRetryTest = FakeServerTest;

TEST_F(GrpcTransportRetryTest, ALostSessionIsNoticedByKeepAliveAlone) {
  transport_.reset();
  StartUp({.lease_ms = 300});
  server_->LoseContents();
  ASSERT_TRUE(server_->WaitCalls(FakeServer::kOpen, 2));
  EXPECT_EQ(Get(0, 0).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(transport_->AllocateClusters(1, In(seconds(30))).ok());
}

TEST_F(GrpcTransportRetryTest, OneAttachServesAllPuts) {
  const std::string bytes(kPageBytes, 'x');
  server_->Hold(FakeServer::kPut);
  for (int i = 0; i < 4; ++i) {
    server_->Inject(FakeServer::kPut, grpc::Status(StatusCode::INTERNAL, ""));
  }
  WaitingPut puts[4];
  for (uint32_t i = 0; i < 4; ++i) {
    puts[i].Start(transport_.get(), {grant_, i, 0}, bytes);
  }
  ASSERT_TRUE(server_->WaitCalls(FakeServer::kPut, 4));
  server_->Release(FakeServer::kPut);
  for (WaitingPut& put : puts) EXPECT_TRUE(put.Wait().ok());
  EXPECT_EQ(server_->calls(FakeServer::kAttach), 1);
  EXPECT_EQ(server_->epoch(), 2u);
}

TEST_F(GrpcTransportRetryTest, AStolenEpochIsTakenBackButNotForEver) {
  ASSERT_TRUE(Put(0, 0, std::string(kPageBytes, 'x')).ok());
  server_->StealEpoch();
  EXPECT_EQ(*Get(0, 0), std::string(kPageBytes, 'x'));
  absl::Status status;
  int thefts = 1;
  for (; status.ok() && thefts < 100; ++thefts) {
    server_->StealEpoch();
    status = Get(0, 0).status();
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(thefts, 17);
}

// As when the server's metadata is away: epochs rise, nobody is told.
TEST_F(GrpcTransportRetryTest, AttachesThatWereNotAnsweredAreNoThefts) {
  ASSERT_TRUE(Put(0, 0, std::string(kPageBytes, 'x')).ok());
  server_->StealEpoch();
  constexpr int kAttaches = 20;
  for (int i = 0; i < kAttaches; ++i) {
    server_->Inject(
        FakeServer::kAttach,
        ServerError(StatusCode::UNAVAILABLE, v1::REASON_METADATA_UNAVAILABLE),
        /*done=*/true);
  }
  // Each with a short backoff of its own.
  while (server_->calls(FakeServer::kAttach) < kAttaches) {
    ASSERT_NE(Get(0, 0, In(milliseconds(100))).status().code(),
              absl::StatusCode::kDataLoss);
  }
  EXPECT_EQ(*Get(0, 0), std::string(kPageBytes, 'x'));
  EXPECT_EQ(transport_->Stats().sessions_lost, 0u);
}

TEST_F(GrpcTransportRetryTest, AnAnswerOfAnotherLengthIsNoAnswer) {
  ASSERT_TRUE(Put(0, 1, std::string(BytesOf(1), 'x')).ok());
  for (const int extra : {1, -1, -int{kPageBytes}, 1 << 20}) {
    server_->MangleNextGet(extra);
    EXPECT_EQ(*Get(0, 1), std::string(BytesOf(1), 'x'));
  }
  EXPECT_EQ(transport_->Stats().retries, 4u);
}

TEST_F(GrpcTransportRetryTest,
       FoliosOfEveryOrderAndBatchesBeyondTheServersLimit) {
  std::string all;
  std::vector<FolioRef> refs;
  for (int order = 0; order < kMaxOrder; ++order) {
    const std::string bytes(BytesOf(order), static_cast<char>('a' + order));
    ASSERT_TRUE(Put(PagesOf(order), order, bytes).ok());
    refs.push_back({grant_, PagesOf(order), order});
    all += bytes;
  }
  std::string into(all.size(), '?');
  ASSERT_TRUE(
      transport_->Get(refs, absl::MakeSpan(into), In(seconds(30))).ok());
  EXPECT_TRUE(into == all);
  EXPECT_EQ(server_->calls(FakeServer::kGet), 3);  // 9 folios, 4 a call.
  const std::string whole(kPmdBytes, 'z');
  ASSERT_TRUE(Put(0, kPmdOrder, whole).ok());
  EXPECT_TRUE(*Get(0, kPmdOrder) == whole);
  const TransportStats stats = transport_->Stats();
  EXPECT_EQ(stats.put_bytes, all.size() + whole.size());
  EXPECT_EQ(stats.get_bytes, all.size() + whole.size());
  EXPECT_TRUE(stats.connected);
}

TEST_F(GrpcTransportRetryTest, AnUnansweredGrantIsAskedForAgainByTheNextCall) {
  server_->Inject(FakeServer::kAllocate, grpc::Status(StatusCode::UNKNOWN, ""),
                  /*done=*/true);
  EXPECT_EQ(
      transport_->AllocateClusters(1, In(milliseconds(10))).status().code(),
      absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(server_->granted(), 2u);
  EXPECT_TRUE(transport_->AllocateClusters(1, In(seconds(30))).ok());
  EXPECT_EQ(server_->granted(), 2u);
}

TEST_F(GrpcTransportRetryTest, FreesInBatches) {
  std::vector<core::ClusterGrant> grants = {grant_};
  while (grants.size() < 8) {
    const auto more = transport_->AllocateClusters(5, In(seconds(30)));
    ASSERT_TRUE(more.ok());
    grants.insert(grants.end(), more->begin(), more->end());
  }
  EXPECT_EQ(transport_->AllocateClusters(1, In(seconds(30))).status().code(),
            absl::StatusCode::kResourceExhausted);
  ASSERT_TRUE(transport_->FreeClusters(grants, In(seconds(30))).ok());
  EXPECT_EQ(server_->granted(), 0u);
  EXPECT_EQ(server_->calls(FakeServer::kFree), 4);
}

TEST_F(GrpcTransportRetryTest, ADeadlineEndsAGetThatNobodyAnswers) {
  server_->Hold(FakeServer::kGet);
  EXPECT_EQ(Get(0, 0, In(milliseconds(50))).status().code(),
            absl::StatusCode::kDeadlineExceeded);
}

TEST_F(GrpcTransportRetryTest, AnswersARetryDelayWithPatience) {
  server_->Inject(FakeServer::kGet, ServerError(StatusCode::UNAVAILABLE,
                                                v1::REASON_UNSPECIFIED, 200));
  const auto start = std::chrono::steady_clock::now();
  EXPECT_TRUE(Get(0, 0).ok());
  EXPECT_GE(std::chrono::steady_clock::now() - start, milliseconds(200));
}

TEST_F(GrpcTransportRetryTest, ShutdownEndsEveryWait) {
  const std::string bytes(kPmdBytes, 'x');
  for (const auto method :
       {FakeServer::kGet, FakeServer::kPut, FakeServer::kAllocate}) {
    server_->Hold(method);
  }
  std::thread get([&] {
    EXPECT_EQ(Get(0, 0, Deadline::max()).status().code(),
              absl::StatusCode::kCancelled);
  });
  std::thread allocate([&] {
    EXPECT_EQ(transport_->AllocateClusters(1, Deadline::max()).status().code(),
              absl::StatusCode::kCancelled);
  });
  WaitingPut put;
  put.Start(transport_.get(), {grant_, 0, kPmdOrder}, bytes);
  ASSERT_TRUE(server_->WaitCalls(FakeServer::kGet, 1));
  ASSERT_TRUE(server_->WaitCalls(FakeServer::kPut, 1));
  ASSERT_TRUE(server_->WaitCalls(FakeServer::kAllocate, 2));
  transport_->Shutdown(In(seconds(5)));
  EXPECT_EQ(put.times_done(), 1);
  EXPECT_EQ(put.Wait().code(), absl::StatusCode::kCancelled);
  get.join();
  allocate.join();
  EXPECT_EQ(server_->calls(FakeServer::kClose), 1);
  EXPECT_EQ(Get(0, 0).status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(Put(0, 0, bytes).code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(transport_->FreeClusters({&grant_, 1}, In(seconds(1))).code(),
            absl::StatusCode::kCancelled);
}

TEST_F(GrpcTransportRetryTest, DoneIsCalledOnAThreadOfTheTransport) {
  const std::string bytes(kPageBytes, 'x');
  WaitingPut put;
  put.Start(transport_.get(), {grant_, 0, 0}, bytes);
  ASSERT_TRUE(put.Wait().ok());
  const std::vector<int> ids = transport_->ThreadIds();
  EXPECT_EQ(ids.size(), 3u);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), put.thread_id()), 1);
}

TEST(GrpcTransportCreate, RefusesBadOptionsAndSaysWhenNobodyAnswers) {
  GrpcTransport::Options options;
  EXPECT_EQ(GrpcTransport::Create(options).status().code(),
            absl::StatusCode::kInvalidArgument);
  options = OptionsFor("127.0.0.1:1");
  options.servers.push_back(*Address::Parse("127.0.0.1:2"));
  const auto two = GrpcTransport::Create(options).status();
  EXPECT_EQ(two.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(two.message().find("one server at the moment"),
            absl::string_view::npos);
  options.servers.pop_back();
  options.max_puts = 0;
  EXPECT_EQ(GrpcTransport::Create(options).status().code(),
            absl::StatusCode::kInvalidArgument);
  options.max_puts = 1;
  options.open_deadline = milliseconds(200);
  const auto nobody = GrpcTransport::Create(options).status();
  EXPECT_EQ(nobody.code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(nobody.message().find("is farswap-server running there?"),
            absl::string_view::npos);
}

}  // namespace
}  // namespace farswap::remote

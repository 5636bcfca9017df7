// The transport against a real server that is killed, stopped and replaced.
#include "client/remote/grpc_transport.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "tests/client/remote/server_process.h"
#include "tests/client/remote/waiting_put.h"

namespace farswap::remote {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

Deadline In(std::chrono::steady_clock::duration time) {
  return std::chrono::steady_clock::now() + time;
}

// Over TCP, or over a Unix socket.
class GrpcTransportTest : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    ASSERT_TRUE(server_.Start());
    transport_ = NewTransport();
    const auto grants = transport_->AllocateClusters(2, In(seconds(30)));
    ASSERT_TRUE(grants.ok()) << grants.status();
    ASSERT_EQ(grants->size(), 2u);
    grants_ = *grants;
  }

  std::unique_ptr<GrpcTransport> NewTransport() {
    GrpcTransport::Options options;
    options.servers = {*Address::Parse(server_.address())};
    options.client_name = "grpc_transport_test";
    auto transport = GrpcTransport::Create(options);
    EXPECT_TRUE(transport.ok()) << transport.status();
    return *std::move(transport);
  }
  absl::StatusOr<std::string> Get(const FolioRef& ref, Deadline deadline) {
    std::string bytes(BytesOf(ref.order), '?');
    absl::Status status =
        transport_->Get({&ref, 1}, absl::MakeSpan(bytes), deadline);
    if (!status.ok()) return status;
    return bytes;
  }
  absl::Status Put(const FolioRef& ref, const std::string& bytes) {
    WaitingPut put;
    put.Start(transport_.get(), ref, bytes);
    return put.Wait();
  }

  ServerProcess server_{GetParam()};
  std::unique_ptr<GrpcTransport> transport_;
  std::vector<core::ClusterGrant> grants_;
};

INSTANTIATE_TEST_SUITE_P(, GrpcTransportTest, testing::Bool(),
                         [](const auto& info) {
                           return info.param ? "Unix" : "Tcp";
                         });

TEST_P(GrpcTransportTest, KeepsFoliosOfEveryOrder) {
  for (int order = 0; order <= kMaxOrder; ++order) {
    const FolioRef ref = {grants_[order % 2],
                          order == kMaxOrder ? 0 : PagesOf(order), order};
    EXPECT_TRUE(*Get(ref, In(seconds(30))) ==
                    std::string(BytesOf(order), '\0') ||
                order == kMaxOrder);
    std::string bytes(BytesOf(order), '\0');
    std::mt19937_64 random(order);
    for (char& c : bytes) c = static_cast<char>(random());
    ASSERT_TRUE(Put(ref, bytes).ok());
    EXPECT_TRUE(*Get(ref, In(seconds(30))) == bytes) << order;
  }
  EXPECT_EQ(transport_->Stats().retries, 0u);
}

// A thread's own slots: puts and gets them, and remembers.
class Worker {
 public:
  Worker(Transport* transport, const core::ClusterGrant& grant,
         uint32_t first_slot, int order)
      : transport_(transport), ref_{grant, first_slot, order} {}

  void Run(const std::atomic<bool>& stop) {
    std::mt19937_64 random(ref_.slot);
    std::string stored(BytesOf(ref_.order), '\0');
    while (!stop) {
      const uint64_t stamp = random();
      for (size_t i = 0; i < stored.size(); i += sizeof(stamp)) {
        std::memcpy(stored.data() + i, &stamp, sizeof(stamp));
      }
      WaitingPut put;
      put.Start(transport_, ref_, stored);
      ASSERT_TRUE(put.Wait().ok());
      std::string bytes(stored.size(), '?');
      const absl::Status status =
          transport_->Get({&ref_, 1}, absl::MakeSpan(bytes), In(seconds(60)));
      ASSERT_TRUE(status.ok()) << status;
      ASSERT_TRUE(bytes == stored);
      ++rounds_;
    }
  }
  int rounds() const { return rounds_; }

 private:
  Transport* const transport_;
  const FolioRef ref_;
  std::atomic<int> rounds_{0};
};

// Waits until each worker has done so many rounds more.
bool WaitRounds(const std::vector<std::unique_ptr<Worker>>& workers,
                int rounds) {
  const Deadline until = In(seconds(60));
  for (const auto& worker : workers) {
    const int goal = worker->rounds() + rounds;
    while (worker->rounds() < goal) {
      if (std::chrono::steady_clock::now() > until) return false;
      std::this_thread::sleep_for(milliseconds(1));
    }
  }
  return true;
}

TEST_P(GrpcTransportTest, KilledAndRestartedUnderPutsAndGets) {
  std::vector<std::unique_ptr<Worker>> workers;
  workers.push_back(
      std::make_unique<Worker>(transport_.get(), grants_[0], 0, 9));
  for (uint32_t slot : {0, 16, 32}) {
    workers.push_back(std::make_unique<Worker>(transport_.get(), grants_[1],
                                               slot, slot == 0 ? 4 : 0));
  }
  std::atomic<bool> stop = false;
  std::vector<std::thread> threads;
  for (auto& worker : workers) {
    threads.emplace_back([&, w = worker.get()] { w->Run(stop); });
  }
  for (int i = 0; i < 4; ++i) {
    EXPECT_TRUE(WaitRounds(workers, 5));
    server_.Kill();
    EXPECT_TRUE(server_.Start());
  }
  EXPECT_TRUE(WaitRounds(workers, 5));
  stop = true;
  for (std::thread& thread : threads) thread.join();
  const TransportStats stats = transport_->Stats();
  EXPECT_GT(stats.retries, 0u);
  EXPECT_EQ(stats.sessions_lost, 0u);
}

TEST_P(GrpcTransportTest, ANewPoolIsDataLossForWhatTheOldOneHeld) {
  const FolioRef ref = {grants_[0], 0, 0};
  ASSERT_TRUE(Put(ref, std::string(kPageBytes, 'x')).ok());
  server_.Kill();
  server_.RemovePool();
  ASSERT_TRUE(server_.Start());
  EXPECT_EQ(Get(ref, In(seconds(30))).status().code(),
            absl::StatusCode::kDataLoss);
  EXPECT_EQ(Put(ref, std::string(kPageBytes, 'x')).code(),
            absl::StatusCode::kDataLoss);
  const auto grants = transport_->AllocateClusters(1, In(seconds(30)));
  ASSERT_TRUE(grants.ok()) << grants.status();
  EXPECT_EQ(*Get({grants->front(), 0, 0}, In(seconds(30))),
            std::string(kPageBytes, '\0'));
}

TEST_P(GrpcTransportTest, AStoppedServerIsWaitedForUntilTheDeadline) {
  const FolioRef ref = {grants_[0], 0, 0};
  ASSERT_TRUE(Put(ref, std::string(kPageBytes, 'x')).ok());
  server_.Stop();
  EXPECT_EQ(Get(ref, In(milliseconds(300))).status().code(),
            absl::StatusCode::kDeadlineExceeded);
  EXPECT_FALSE(transport_->Stats().connected);
  absl::StatusOr<std::string> bytes;
  std::thread get([&] { bytes = Get(ref, In(seconds(30))); });
  server_.Continue();
  get.join();
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  EXPECT_EQ(*bytes, std::string(kPageBytes, 'x'));
  EXPECT_TRUE(transport_->Stats().connected);
}

// A folio whose memory is taken away the moment its put is done: had gRPC
// still a slice of it, its next send would fail, or the process would.
class VanishingPut : public WaitingPut {
 public:
  VanishingPut() {
    bytes_ = static_cast<char*>(mmap(nullptr, kPmdBytes, PROT_READ | PROT_WRITE,
                                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    std::memset(bytes_, 'x', kPmdBytes);
  }
  ~VanishingPut() override { munmap(bytes_, kPmdBytes); }
  void Start(Transport* transport, const core::ClusterGrant& grant) {
    ref = {grant, 0, kPmdOrder};
    data = bytes_;
    transport->StartPut(this);
  }
  void OnDone(const absl::Status& status) override {
    mprotect(bytes_, kPmdBytes, PROT_NONE);
    WaitingPut::OnDone(status);
  }

 private:
  char* bytes_;
};

// A stopped server leaves a put half in the socket and half in gRPC. The call
// can be cancelled at once; its bytes are free only with the connection.
TEST_P(GrpcTransportTest, APutIsDoneOnlyWhenItsBytesAreFree) {
  // So that the connection is there.
  ASSERT_TRUE(Put({grants_[0], 0, 0}, std::string(kPageBytes, 'x')).ok());
  server_.Stop();
  // More than fits a connection's buffers, which are some MiB with TCP.
  constexpr int kPuts = 8;
  VanishingPut puts[kPuts];
  for (int i = 0; i < kPuts; ++i) {
    puts[i].Start(transport_.get(), grants_[i % 2]);
  }
  const auto start = std::chrono::steady_clock::now();
  std::thread shutdown([&] { transport_->Shutdown(In(seconds(1))); });
  // Cancelled, as another call tells.
  EXPECT_EQ(transport_->AllocateClusters(1, In(seconds(30))).status().code(),
            absl::StatusCode::kCancelled);
  const bool all_done = std::all_of(
      std::begin(puts), std::end(puts),
      [](VanishingPut& put) { return put.WaitFor(milliseconds(100)); });
  EXPECT_FALSE(all_done) << "no put had its bytes in the connection still";
  server_.Kill();
  for (VanishingPut& put : puts) {
    EXPECT_EQ(put.Wait().code(), absl::StatusCode::kCancelled);
    EXPECT_EQ(put.times_done(), 1);
  }
  shutdown.join();
  EXPECT_LT(std::chrono::steady_clock::now() - start, seconds(10));
}

// Over TCP the kernel ends the connection; over a Unix socket nothing does.
TEST_P(GrpcTransportTest, AStoppedServerDoesNotHoldAShutdownOverTcp) {
  if (GetParam()) GTEST_SKIP() << "a Unix socket waits for its server";
  ASSERT_TRUE(Put({grants_[0], 0, 0}, std::string(kPageBytes, 'x')).ok());
  server_.Stop();
  VanishingPut puts[8];
  for (VanishingPut& put : puts) put.Start(transport_.get(), grants_[0]);
  const auto start = std::chrono::steady_clock::now();
  transport_->Shutdown(In(seconds(1)));
  EXPECT_LT(std::chrono::steady_clock::now() - start, seconds(20));
  for (VanishingPut& put : puts) EXPECT_EQ(put.times_done(), 1);
}

TEST_P(GrpcTransportTest, ClosingGivesTheClustersBack) {
  // 64 MiB are 32 clusters; sessions that were not closed would hold them.
  for (int i = 0; i < 3; ++i) {
    auto other = NewTransport();
    size_t granted = 0;
    while (true) {
      const auto grants = other->AllocateClusters(64, In(seconds(30)));
      if (!grants.ok()) {
        EXPECT_EQ(grants.status().code(), absl::StatusCode::kResourceExhausted);
        break;
      }
      granted += grants->size();
    }
    EXPECT_EQ(granted, 30u);
    other->Shutdown(In(seconds(30)));
  }
}

}  // namespace
}  // namespace farswap::remote

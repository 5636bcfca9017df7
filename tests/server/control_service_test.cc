// Control calls over the network, with an executor that is busy.
#include "server/control_service.h"

#include <grpcpp/grpcpp.h>

#include <future>
#include <thread>

#include "tests/server/server_client.h"
#include "tests/server/storage_fixture.h"

namespace farswap::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class ControlServiceTest : public StorageFixture {
 protected:
  void SetUp() override {
    ASSERT_TRUE(Open().ok());
    service_ = std::make_unique<ControlService>(&ownership(), &executor_,
                                                &metrics_, "me");
    grpc::ServerBuilder builder;
    builder.AddListeningPort(address_, grpc::InsecureServerCredentials());
    service_->Register(&builder);
    loop_ = std::make_unique<CallLoop>(&builder);
    server_ = builder.BuildAndStart();
    service_->Start(loop_.get());
    loop_->Start(1);
    client_ = std::make_unique<Client>(address_);
    ASSERT_TRUE(client_->Open().ok());
  }
  void TearDown() override {
    if (busy_) Release();
    server_->Shutdown(std::chrono::system_clock::now());
    executor_.Stop();
    loop_->Stop();
  }

  // As a disk that does not answer: from here on nothing is carried out.
  void Occupy() {
    disk_ = std::promise<void>();
    busy_ = true;
    const std::shared_future<void> answer = disk_.get_future().share();
    ASSERT_TRUE(executor_.Submit([answer](bool) { answer.wait(); }));
    while (executor_.queued() != 0) std::this_thread::yield();
  }
  void Release() {
    disk_.set_value();
    busy_ = false;
  }

  std::promise<void> disk_;
  bool busy_ = false;
  Metrics metrics_;
  Executor executor_{1, 100};
  const std::string address_ = "unix:" + (dir_ / "control");
  std::unique_ptr<ControlService> service_;
  std::unique_ptr<CallLoop> loop_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<Client> client_;
};

TEST_F(ControlServiceTest, KeepAliveDoesNotWaitForTheDisk) {
  Occupy();
  EXPECT_TRUE(client_->KeepAlive(seconds(20)).ok());
}

TEST_F(ControlServiceTest, WhoseDeadlineHasPassedIsNotOpened) {
  Occupy();
  EXPECT_EQ(Client(address_).Open(milliseconds(50)).error_code(),
            grpc::DEADLINE_EXCEEDED);
  EXPECT_EQ(client_->Attach(milliseconds(50)).error_code(),
            grpc::DEADLINE_EXCEEDED);
  // The server's deadlines run from when it got the calls: later than ours,
  // by what a loaded machine takes.
  std::this_thread::sleep_for(milliseconds(500));
  Release();
  // Behind both in the queue of one thread.
  v1::AllocateClustersResponse granted;
  EXPECT_TRUE(client_->Allocate(1, 1, &granted).ok());
  EXPECT_EQ(storage_->sessions().size(), 1u);
}

TEST_F(ControlServiceTest, ACloseIsCarriedOutHoweverLate) {
  Occupy();
  EXPECT_EQ(client_->Close(milliseconds(50)).error_code(),
            grpc::DEADLINE_EXCEEDED);
  Release();
  EXPECT_TRUE(Client(address_).Open().ok());
  EXPECT_EQ(storage_->sessions().size(), 1u);
}

TEST_F(ControlServiceTest, WhoIsQueuedAtTheEndIsTold) {
  Occupy();
  std::thread queued([this] {
    v1::AllocateClustersResponse granted;
    EXPECT_EQ(ReasonOf(client_->Allocate(1, 1, &granted)), v1::REASON_DRAINING);
  });
  while (executor_.queued() == 0) std::this_thread::yield();
  executor_.Abandon();
  queued.join();
  EXPECT_EQ(storage_->clusters().granted(), 0u);
}

}  // namespace
}  // namespace farswap::server

// The real server, over the network, by the generated stubs: what any gRPC
// client in any language sees.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "common/units.h"
#include "proto/farswap/v1/cluster.grpc.pb.h"
#include "proto/farswap/v1/error.pb.h"
#include "proto/farswap/v1/folio.grpc.pb.h"
#include "proto/farswap/v1/session.grpc.pb.h"
#include "proto/farswap/v1/status.grpc.pb.h"
#include "tests/server/server_client.h"
#include "tests/server/server_process.h"
#include "tests/server/temp_dir.h"
#include "tests/server/tmpfs_mount.h"

namespace farswap::server {
namespace {

class ServerTest : public ::testing::Test {
 protected:
  void SetUp() override { Start(); }

  std::vector<std::string> Options() const {
    return {"--data-dir=" + (dir_ / "data"), "--pool=" + pool_,
            "--capacity=16MiB"};
  }
  void Start() {
    server_ = std::make_unique<ServerProcess>(Options());
    ASSERT_TRUE(server_->ready());
    client_ = std::make_unique<Client>(server_->data());
  }
  void OpenAndAllocate(uint32_t count) {
    ASSERT_TRUE(client_->Open().ok());
    ASSERT_TRUE(client_->Allocate(1, count, &granted_).ok());
    ASSERT_EQ(granted_.grants_size(), static_cast<int>(count));
  }
  // Ends the server and starts it again; the session goes on.
  void Restart(int signal_number) {
    const int status = server_->End(signal_number);
    EXPECT_EQ(status, signal_number == SIGKILL ? 128 + SIGKILL : 0)
        << server_->errors();
    // On another port: by now the old one may be somebody else's.
    server_ = std::make_unique<ServerProcess>(Options());
    ASSERT_TRUE(server_->ready());
    client_->Connect(server_->data());
  }

  TempDir dir_;
  std::string pool_ = dir_ / "pool";
  std::unique_ptr<ServerProcess> server_;
  std::unique_ptr<Client> client_;
  v1::AllocateClustersResponse granted_;
};

TEST_F(ServerTest, StoresAndReturnsFoliosOfEveryOrder) {
  OpenAndAllocate(2);
  EXPECT_EQ(client_->session().max_batch_folios(), 512u);
  EXPECT_EQ(client_->session().max_batch_bytes(), 2u << 20);
  EXPECT_EQ(client_->session().max_batch_clusters(), 256u);
  // One batch of orders 0 to 8 side by side fills all but one slot; then 9.
  auto batch = client_->PutRequest();
  for (uint32_t order = 0; order <= 8; ++order) {
    AddFolio(&batch, granted_.grants(0), 1u << order, order);
  }
  ASSERT_TRUE(client_->Put(batch).ok());
  auto whole = client_->PutRequest();
  AddFolio(&whole, granted_.grants(1), 0, 9);
  ASSERT_TRUE(client_->Put(whole).ok());
  ASSERT_TRUE(client_->Put(whole).ok());  // Repeated.
  std::string body;
  ASSERT_TRUE(client_->Get(batch, &body).ok());
  EXPECT_TRUE(body == batch.body());
  ASSERT_TRUE(client_->Get(whole, &body).ok());
  EXPECT_TRUE(body == whole.body());
  // What was never put reads as zeros.
  auto never = client_->PutRequest();
  AddFolio(&never, granted_.grants(0), 0, 0);
  ASSERT_TRUE(client_->Get(never, &body).ok());
  EXPECT_TRUE(body == std::string(kPageBytes, 0));
}

// What is wrong with a put, and how it is refused.
struct BadPut {
  const char* what;
  grpc::StatusCode code;
  v1::Reason reason;
  v1::PutFoliosRequest request;
};

class BadPuts {
 public:
  using Put = v1::PutFoliosRequest;

  BadPuts(const Client& client, const v1::ClusterGrant& grant)
      : client_(client), grant_(grant) {
    AddMalformed();
    AddRefused();
    AddTooLarge();
  }
  const std::vector<BadPut>& all() const { return all_; }

 private:
  template <typename Spoil>
  void Add(const char* what, grpc::StatusCode code, v1::Reason reason,
           Spoil spoil) {
    auto request = client_.PutRequest();
    // The first folio is good: it must not be stored either.
    AddFolio(&request, grant_, 8, 0);
    AddFolio(&request, grant_, 16, 2);
    spoil(&request);
    all_.push_back({what, code, reason, std::move(request)});
  }
  template <typename Spoil>
  void Malformed(const char* what, Spoil spoil) {
    Add(what, grpc::INVALID_ARGUMENT, v1::REASON_MALFORMED, spoil);
  }
  template <typename Spoil>
  void Refused(const char* what, v1::Reason reason, Spoil spoil) {
    Add(what, grpc::FAILED_PRECONDITION, reason, spoil);
  }

  void AddMalformed() {
    Malformed("order", [](Put* r) { r->mutable_folios(1)->set_order(10); });
    Malformed("misaligned", [](Put* r) { r->mutable_folios(1)->set_slot(17); });
    Malformed("slot", [](Put* r) { r->mutable_folios(1)->set_slot(512); });
    Malformed("truncated body", [](Put* r) { r->mutable_body()->pop_back(); });
    Malformed("long body", [](Put* r) { r->mutable_body()->push_back('x'); });
    Malformed("no folios", [](Put* r) { r->clear_folios(); });
    Malformed("no session", [](Put* r) { r->clear_session_id(); });
    Malformed("no epoch", [](Put* r) { r->clear_epoch(); });
    Malformed("no generation",
              [](Put* r) { r->mutable_folios(1)->clear_generation(); });
    Malformed("slot twice", [](Put* r) { r->mutable_folios(1)->set_slot(8); });
  }
  void AddRefused() {
    Refused("foreign cluster", v1::REASON_STALE_GENERATION,
            [](Put* r) { r->mutable_folios(1)->set_cluster(5); });
    Refused("cluster beyond the pool", v1::REASON_STALE_GENERATION,
            [](Put* r) { r->mutable_folios(1)->set_cluster(~0ull); });
    Refused("stale generation", v1::REASON_STALE_GENERATION, [](Put* r) {
      r->mutable_folios(1)->set_generation(r->folios(1).generation() + 1);
    });
    Refused("stale epoch", v1::REASON_STALE_EPOCH,
            [](Put* r) { r->set_epoch(r->epoch() + 1); });
    Refused("unknown session", v1::REASON_UNKNOWN_SESSION,
            [](Put* r) { r->set_session_id(r->session_id() ^ 1); });
  }
  void AddTooLarge() {
    Malformed("over the bytes", [this](Put* r) {
      r->clear_folios();
      r->clear_body();
      AddFolio(r, grant_, 0, 8);
      AddFolio(r, grant_, 256, 8);
      AddFolio(r, grant_, 0, 0);
    });
    Malformed("over the folios", [this](Put* r) {
      r->clear_folios();
      r->clear_body();
      for (uint32_t i = 0; i < 513; ++i) AddFolio(r, grant_, i % 512, 0);
    });
  }

  const Client& client_;
  const v1::ClusterGrant grant_;
  std::vector<BadPut> all_;
};

TEST_F(ServerTest, RefusesEveryMalformedPutAndChangesNothing) {
  OpenAndAllocate(1);
  const v1::ClusterGrant grant = granted_.grants(0);
  auto good = client_->PutRequest();
  AddFolio(&good, grant, 0, 9);
  ASSERT_TRUE(client_->Put(good).ok());
  const BadPuts bad(*client_, grant);
  for (const BadPut& c : bad.all()) {
    const grpc::Status status = client_->Put(c.request);
    EXPECT_EQ(status.error_code(), c.code) << c.what << status.error_message();
    EXPECT_EQ(ReasonOf(status), c.reason) << c.what;
  }
  std::string body;
  ASSERT_TRUE(client_->Get(good, &body).ok());
  EXPECT_TRUE(body == good.body());
}

TEST_F(ServerTest, FencesTheOldEpochAndRepeatsSafely) {
  OpenAndAllocate(3);
  v1::AllocateClustersResponse again;
  ASSERT_TRUE(client_->Allocate(1, 3, &again).ok());
  EXPECT_EQ(again.SerializeAsString(), granted_.SerializeAsString());
  auto old = client_->PutRequest();
  AddFolio(&old, granted_.grants(0), 0, 0);
  ASSERT_TRUE(client_->Attach().ok());
  EXPECT_EQ(ReasonOf(client_->Put(old)), v1::REASON_STALE_EPOCH);
  uint32_t freed = 0;
  ASSERT_TRUE(client_->Free(granted_.grants(0), &freed).ok());
  EXPECT_EQ(freed, 1u);
  ASSERT_TRUE(client_->Free(granted_.grants(0), &freed).ok());
  EXPECT_EQ(freed, 0u);
  old.set_epoch(2);
  EXPECT_EQ(ReasonOf(client_->Put(old)), v1::REASON_STALE_GENERATION);
  // Freed clusters come back, up to the capacity, and no further.
  v1::AllocateClustersResponse rest;
  ASSERT_TRUE(client_->Allocate(2, 100, &rest).ok());
  EXPECT_EQ(rest.grants_size(), 6);
  const grpc::Status full = client_->Allocate(3, 1, &rest);
  EXPECT_EQ(full.error_code(), grpc::RESOURCE_EXHAUSTED);
  EXPECT_EQ(ReasonOf(full), v1::REASON_POOL_FULL);
  EXPECT_TRUE(client_->Close().ok());
  EXPECT_TRUE(client_->Close().ok());
  EXPECT_EQ(ReasonOf(client_->Attach()), v1::REASON_CONTENTS_LOST);
}

class RestartTest : public ServerTest,
                    public ::testing::WithParamInterface<int> {};

TEST_P(RestartTest, HasEveryGrantAndEveryByteAfterwards) {
  OpenAndAllocate(2);
  auto put = client_->PutRequest();
  AddFolio(&put, granted_.grants(1), 0, 9);
  ASSERT_TRUE(client_->Put(put).ok());
  Restart(GetParam());
  std::string body;
  ASSERT_TRUE(client_->Get(put, &body).ok());
  EXPECT_TRUE(body == put.body());
  v1::AllocateClustersResponse again;
  ASSERT_TRUE(client_->Allocate(1, 2, &again).ok());
  EXPECT_EQ(again.SerializeAsString(), granted_.SerializeAsString());
  EXPECT_TRUE(client_->Attach().ok());
  EXPECT_EQ(server_->End(SIGTERM), 0);
  EXPECT_NE(server_->errors().find("continues"), std::string::npos)
      << server_->errors();
}

INSTANTIATE_TEST_SUITE_P(Signals, RestartTest,
                         ::testing::Values(SIGTERM, SIGINT, SIGKILL));

TEST_F(ServerTest, AnotherPoolIsANewIncarnationAndItsClientsAreTold) {
  OpenAndAllocate(2);
  auto put = client_->PutRequest();
  AddFolio(&put, granted_.grants(0), 0, 0);
  ASSERT_TRUE(client_->Put(put).ok());
  pool_ = dir_ / "other";
  Restart(SIGTERM);
  EXPECT_EQ(ReasonOf(client_->Put(put)), v1::REASON_UNKNOWN_SESSION);
  const grpc::Status attach = client_->Attach();
  EXPECT_EQ(attach.error_code(), grpc::DATA_LOSS);
  EXPECT_EQ(ReasonOf(attach), v1::REASON_CONTENTS_LOST);
  EXPECT_TRUE(client_->Open().ok());
  EXPECT_EQ(server_->End(SIGTERM), 0);
  EXPECT_NE(server_->errors().find("new incarnation"), std::string::npos)
      << server_->errors();
}

TEST_F(ServerTest, RefusesASecondServer) {
  ServerProcess same(Options());
  EXPECT_FALSE(same.ready());
  EXPECT_EQ(same.Wait(), 2);
  EXPECT_NE(same.errors().find("another farswap-server"), std::string::npos)
      << same.errors();
  ServerProcess pool_only(
      {"--data-dir=" + (dir_ / "data2"), Options()[1], "--capacity=16MiB"});
  EXPECT_EQ(pool_only.Wait(), 2);
  EXPECT_NE(pool_only.errors().find("another farswap-server"),
            std::string::npos);
  ServerProcess port({"--data-dir=" + (dir_ / "data3"), "--capacity=16MiB",
                      "--listen=" + server_->data()});
  EXPECT_EQ(port.Wait(), 2);
  EXPECT_NE(port.errors().find("--listen"), std::string::npos);
}

TEST_F(ServerTest, SaysHowItIsAndWritesOneLineToStdout) {
  OpenAndAllocate(2);
  v1::StatusService::Stub stub(grpc::CreateChannel(
      server_->admin(), grpc::InsecureChannelCredentials()));
  v1::GetServerStatusResponse status;
  ASSERT_TRUE(stub.GetServerStatus(Client::Context().get(), {}, &status).ok());
  EXPECT_EQ(status.server_id(), client_->session().server_id());
  EXPECT_EQ(status.incarnation(), client_->session().incarnation());
  EXPECT_EQ(status.capacity_clusters(), 8u);
  EXPECT_EQ(status.granted_clusters(), 2u);
  EXPECT_EQ(status.sessions(), 1u);
  EXPECT_EQ(status.pool(), pool_);
  EXPECT_EQ(status.problems_size(), 0);
  EXPECT_EQ(server_->End(SIGTERM), 0);
  EXPECT_EQ(server_->output(), "farswap-server ready data=" + server_->data() +
                                   " admin=" + server_->admin() +
                                   " metrics=" + server_->metrics() + "\n");
}

TEST(ServerOptionsTest, WrongOnesEndItWithTwoAndOneLine) {
  TempDir dir;
  for (const std::string option :
       {"--capacity=1.5GB", "--capacity=-3", "--capacity=0", "--capacity=1000T",
        "--listen=nowhere"}) {
    ServerProcess server({"--data-dir=" + (dir / "data"), option,
                          option[2] == 'c' ? "--pool=anon" : "--capacity=2M"});
    EXPECT_FALSE(server.ready());
    EXPECT_EQ(server.Wait(), 2) << option;
    EXPECT_EQ(std::count(server.errors().begin(), server.errors().end(), '\n'),
              1)
        << server.errors();
    EXPECT_EQ(server.output(), "");
  }
}

TEST(ServerFullTest, AFullTmpfsIsResourceExhausted) {
  TempDir dir;
  const TmpfsMount tmpfs(dir / "tmpfs", "size=8m");
  if (!tmpfs.mounted()) {
    GTEST_SKIP() << "NOT RUN: mounting a small tmpfs needs root";
  }
  ServerProcess server({"--data-dir=" + (dir / "data"),
                        "--pool=" + (tmpfs / "pool"), "--capacity=1GiB",
                        "--allow-overcommit"});
  ASSERT_TRUE(server.ready());
  Client client(server.data());
  ASSERT_TRUE(client.Open().ok());
  v1::AllocateClustersResponse granted;
  ASSERT_TRUE(client.Allocate(1, 256, &granted).ok());
  EXPECT_EQ(granted.grants_size(), 3);
  const grpc::Status full = client.Allocate(2, 1, &granted);
  EXPECT_EQ(full.error_code(), grpc::RESOURCE_EXHAUSTED);
  EXPECT_EQ(ReasonOf(full), v1::REASON_POOL_FULL);
  EXPECT_EQ(server.End(SIGTERM), 0);
}

}  // namespace
}  // namespace farswap::server

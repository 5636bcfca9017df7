// A transport whose server is FakeServer.
#ifndef FARSWAP_TESTS_CLIENT_REMOTE_GRPC_TRANSPORT_FIXTURE_H_
#define FARSWAP_TESTS_CLIENT_REMOTE_GRPC_TRANSPORT_FIXTURE_H_

#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "client/remote/grpc_transport.h"
#include "gtest/gtest.h"
#include "tests/client/remote/fake_server.h"
#include "tests/client/remote/waiting_put.h"

namespace farswap::remote {

inline Deadline In(std::chrono::steady_clock::duration time) {
  return std::chrono::steady_clock::now() + time;
}

inline GrpcTransport::Options OptionsFor(const std::string& address) {
  GrpcTransport::Options options;
  options.servers = {*Address::Parse(address)};
  options.client_name = "test";
  options.max_puts = 4;
  return options;
}

class FakeServerTest : public testing::Test {
 protected:
  void StartUp(const FakeServer::Options& options) {
    server_ = std::make_unique<FakeServer>(options);
    auto transport = GrpcTransport::Create(OptionsFor(server_->address()));
    ASSERT_TRUE(transport.ok()) << transport.status();
    transport_ = std::move(*transport);
    auto grants = transport_->AllocateClusters(1, In(std::chrono::seconds(30)));
    ASSERT_TRUE(grants.ok()) << grants.status();
    grant_ = grants->front();
  }
  void SetUp() override { StartUp(FakeServer::Options()); }

  absl::StatusOr<std::string> Get(
      uint32_t slot, int order,
      Deadline deadline = In(std::chrono::seconds(30))) {
    const FolioRef ref = {grant_, slot, order};
    std::string bytes(BytesOf(order), '?');
    absl::Status status =
        transport_->Get({&ref, 1}, absl::MakeSpan(bytes), deadline);
    if (!status.ok()) return status;
    return bytes;
  }
  absl::Status Put(uint32_t slot, int order, const std::string& bytes) {
    WaitingPut put;
    put.Start(transport_.get(), {grant_, slot, order}, bytes);
    const absl::Status status = put.Wait();
    EXPECT_EQ(put.times_done(), 1);
    return status;
  }

  std::unique_ptr<FakeServer> server_;
  std::unique_ptr<GrpcTransport> transport_;
  core::ClusterGrant grant_;
};

}  // namespace farswap::remote

#endif  // FARSWAP_TESTS_CLIENT_REMOTE_GRPC_TRANSPORT_FIXTURE_H_

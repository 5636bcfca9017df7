// Every code at every call: what the transport makes of it.
#include <chrono>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/client/remote/fake_server.h"
#include "tests/client/remote/grpc_transport_fixture.h"
#include "tests/client/remote/waiting_put.h"

namespace farswap::remote {
namespace {

using grpc::StatusCode;
using std::chrono::seconds;

using GrpcTransportCodesTest = FakeServerTest;

struct Fault {
  const char* name;
  grpc::Status status;
};

// The codes alone, as gRPC or a proxy makes them, then as the server says.
std::vector<Fault> Faults() {
  std::vector<Fault> faults;
  static constexpr struct {
    const char* name;
    StatusCode code;
  } kCodes[] = {
      {"CANCELLED", StatusCode::CANCELLED},
      {"UNKNOWN", StatusCode::UNKNOWN},
      {"INVALID_ARGUMENT", StatusCode::INVALID_ARGUMENT},
      {"DEADLINE_EXCEEDED", StatusCode::DEADLINE_EXCEEDED},
      {"NOT_FOUND", StatusCode::NOT_FOUND},
      {"ALREADY_EXISTS", StatusCode::ALREADY_EXISTS},
      {"PERMISSION_DENIED", StatusCode::PERMISSION_DENIED},
      {"RESOURCE_EXHAUSTED", StatusCode::RESOURCE_EXHAUSTED},
      {"FAILED_PRECONDITION", StatusCode::FAILED_PRECONDITION},
      {"ABORTED", StatusCode::ABORTED},
      {"OUT_OF_RANGE", StatusCode::OUT_OF_RANGE},
      {"UNIMPLEMENTED", StatusCode::UNIMPLEMENTED},
      {"INTERNAL", StatusCode::INTERNAL},
      {"UNAVAILABLE", StatusCode::UNAVAILABLE},
      {"DATA_LOSS", StatusCode::DATA_LOSS},
      {"UNAUTHENTICATED", StatusCode::UNAUTHENTICATED},
  };
  for (const auto& code : kCodes) {
    faults.push_back({code.name, grpc::Status(code.code, "injected")});
  }
  const auto add = [&](const char* name, StatusCode code, v1::Reason reason) {
    faults.push_back({name, ServerError(code, reason)});
  };
  add("UNKNOWN_SESSION", StatusCode::FAILED_PRECONDITION,
      v1::REASON_UNKNOWN_SESSION);
  add("STALE_EPOCH", StatusCode::FAILED_PRECONDITION, v1::REASON_STALE_EPOCH);
  add("STALE_GENERATION", StatusCode::FAILED_PRECONDITION,
      v1::REASON_STALE_GENERATION);
  add("POOL_FULL", StatusCode::RESOURCE_EXHAUSTED, v1::REASON_POOL_FULL);
  add("QUOTA", StatusCode::RESOURCE_EXHAUSTED, v1::REASON_QUOTA);
  add("LIMIT", StatusCode::RESOURCE_EXHAUSTED, v1::REASON_LIMIT);
  add("CONTENTS_LOST", StatusCode::DATA_LOSS, v1::REASON_CONTENTS_LOST);
  add("DRAINING", StatusCode::UNAVAILABLE, v1::REASON_DRAINING);
  add("METADATA", StatusCode::UNAVAILABLE, v1::REASON_METADATA_UNAVAILABLE);
  return faults;
}

bool Is(const Fault& fault, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    if (name == fault.name) return true;
  }
  return false;
}

const std::vector<std::string> kGone = {"INVALID_ARGUMENT", "OUT_OF_RANGE",
                                        "DATA_LOSS", "STALE_GENERATION",
                                        "CONTENTS_LOST"};
const std::vector<std::string> kAttachFirst = {"UNKNOWN_SESSION",
                                               "STALE_EPOCH"};
// The server said that it did nothing.
const std::vector<std::string> kRefused = {"POOL_FULL", "QUOTA", "LIMIT",
                                           "DRAINING", "METADATA"};

TEST_F(GrpcTransportCodesTest, EveryCodeAtGet) {
  ASSERT_TRUE(Put(0, 0, std::string(kPageBytes, 'x')).ok());
  for (const Fault& fault : Faults()) {
    SCOPED_TRACE(fault.name);
    const int gets = server_->calls(FakeServer::kGet);
    const int attaches = server_->calls(FakeServer::kAttach);
    server_->Inject(FakeServer::kGet, fault.status);
    const auto bytes = Get(0, 0);
    if (Is(fault, kGone)) {
      EXPECT_EQ(bytes.status().code(), absl::StatusCode::kDataLoss);
      EXPECT_EQ(server_->calls(FakeServer::kGet), gets + 1);
    } else {
      ASSERT_TRUE(bytes.ok()) << bytes.status();
      EXPECT_EQ(*bytes, std::string(kPageBytes, 'x'));
      EXPECT_EQ(server_->calls(FakeServer::kGet), gets + 2);
    }
    EXPECT_EQ(server_->calls(FakeServer::kAttach),
              attaches + Is(fault, kAttachFirst));
  }
}

// An outcome that is not known is fenced before the put is sent again, be it
// that the put was done or not.
TEST_F(GrpcTransportCodesTest, EveryCodeAtPut) {
  char fill = 'a';
  for (const bool done : {false, true}) {
    for (const Fault& fault : Faults()) {
      SCOPED_TRACE(absl::StrCat(fault.name, done ? " after" : " before"));
      const std::string bytes(kPageBytes, ++fill);
      const int puts = server_->calls(FakeServer::kPut);
      const int attaches = server_->calls(FakeServer::kAttach);
      server_->Inject(FakeServer::kPut, fault.status, done);
      const absl::Status status = Put(0, 0, bytes);
      if (Is(fault, kGone)) {
        EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
        EXPECT_EQ(server_->calls(FakeServer::kPut), puts + 1);
        EXPECT_EQ(server_->calls(FakeServer::kAttach), attaches);
        continue;
      }
      ASSERT_TRUE(status.ok()) << status;
      EXPECT_EQ(server_->calls(FakeServer::kPut), puts + 2);
      EXPECT_EQ(server_->calls(FakeServer::kAttach),
                attaches + !Is(fault, kRefused));
      EXPECT_EQ(*Get(0, 0), bytes);
    }
  }
}

TEST_F(GrpcTransportCodesTest, EveryCodeAtAllocate) {
  for (const Fault& fault : Faults()) {
    SCOPED_TRACE(fault.name);
    const size_t before = server_->request_ids().size();
    // Done, but the answer says otherwise: the repeat brings the same grants.
    const bool full = Is(fault, {"POOL_FULL", "QUOTA", "DRAINING"});
    server_->Inject(FakeServer::kAllocate, fault.status, !full);
    const auto grants = transport_->AllocateClusters(1, In(seconds(30)));
    if (full) {
      EXPECT_EQ(grants.status().code(), absl::StatusCode::kResourceExhausted);
      continue;
    }
    ASSERT_TRUE(grants.ok()) << grants.status();
    const std::vector<uint64_t> ids = server_->request_ids();
    ASSERT_EQ(ids.size(), before + 2);
    EXPECT_EQ(ids[before], ids[before + 1]);
    EXPECT_EQ(server_->granted(), 2u);
    ASSERT_TRUE(transport_->FreeClusters(*grants, In(seconds(30))).ok());
    EXPECT_EQ(server_->granted(), 1u);
  }
}

TEST_F(GrpcTransportCodesTest, EveryCodeAtFree) {
  for (const Fault& fault : Faults()) {
    SCOPED_TRACE(fault.name);
    const auto grants = transport_->AllocateClusters(1, In(seconds(30)));
    ASSERT_TRUE(grants.ok()) << grants.status();
    server_->Inject(FakeServer::kFree, fault.status);
    EXPECT_TRUE(transport_->FreeClusters(*grants, In(seconds(30))).ok());
    EXPECT_EQ(server_->granted(), 1u);
  }
}

TEST_F(GrpcTransportCodesTest, EveryCodeAtAttach) {
  ASSERT_TRUE(Put(0, 0, std::string(kPageBytes, 'x')).ok());
  for (const Fault& fault : Faults()) {
    if (Is(fault, {"DATA_LOSS", "CONTENTS_LOST"})) continue;  // See below.
    SCOPED_TRACE(fault.name);
    const int attaches = server_->calls(FakeServer::kAttach);
    server_->Inject(FakeServer::kAttach, fault.status);
    server_->Inject(FakeServer::kGet,
                    ServerError(StatusCode::FAILED_PRECONDITION,
                                v1::REASON_UNKNOWN_SESSION));
    const auto bytes = Get(0, 0);
    ASSERT_TRUE(bytes.ok()) << bytes.status();
    EXPECT_EQ(*bytes, std::string(kPageBytes, 'x'));
    EXPECT_GE(server_->calls(FakeServer::kAttach), attaches + 1);
    // The failed attach leaves a put nothing but to attach.
    server_->Inject(FakeServer::kAttach, fault.status);
    server_->Inject(FakeServer::kPut, grpc::Status(StatusCode::INTERNAL, ""));
    ASSERT_TRUE(Put(0, 0, std::string(kPageBytes, 'x')).ok());
    EXPECT_GE(server_->calls(FakeServer::kAttach), attaches + 3);
  }
  EXPECT_EQ(transport_->Stats().sessions_lost, 0u);
}

TEST_F(GrpcTransportCodesTest, DataLossAtAttachLosesTheSession) {
  server_->Inject(FakeServer::kAttach,
                  ServerError(StatusCode::DATA_LOSS, v1::REASON_CONTENTS_LOST));
  server_->Inject(FakeServer::kGet, ServerError(StatusCode::FAILED_PRECONDITION,
                                                v1::REASON_UNKNOWN_SESSION));
  EXPECT_EQ(Get(0, 0).status().code(), absl::StatusCode::kDataLoss);
  // Without asking the server again.
  const int gets = server_->calls(FakeServer::kGet);
  EXPECT_EQ(Get(0, 0).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(Put(0, 0, std::string(kPageBytes, 'x')).code(),
            absl::StatusCode::kDataLoss);
  EXPECT_EQ(server_->calls(FakeServer::kGet), gets);
  EXPECT_EQ(transport_->Stats().sessions_lost, 1u);
  const auto grants = transport_->AllocateClusters(1, In(seconds(30)));
  ASSERT_TRUE(grants.ok()) << grants.status();
  EXPECT_NE(grants->front().session, grant_.session);
  grant_ = grants->front();
  EXPECT_TRUE(Put(0, 0, std::string(kPageBytes, 'x')).ok());
}

TEST_F(GrpcTransportCodesTest, EveryCodeAtOpen) {
  for (const Fault& fault : Faults()) {
    SCOPED_TRACE(fault.name);
    server_->Inject(FakeServer::kOpen, fault.status);
    const auto other = GrpcTransport::Create(OptionsFor(server_->address()));
    if (Is(fault, kGone)) {
      EXPECT_EQ(other.status().code(), absl::StatusCode::kInvalidArgument);
    } else {
      EXPECT_TRUE(other.ok()) << other.status();
    }
  }
}

TEST_F(GrpcTransportCodesTest, EveryCodeAtKeepAliveLeavesTheSessionAlone) {
  transport_.reset();
  StartUp({.lease_ms = 300});
  ASSERT_TRUE(Put(0, 0, std::string(kPageBytes, 'x')).ok());
  const std::vector<Fault> faults = Faults();
  for (const Fault& fault : faults) {
    server_->Inject(FakeServer::kKeepAlive, fault.status);
  }
  ASSERT_TRUE(server_->WaitCalls(FakeServer::kKeepAlive,
                                 static_cast<int>(faults.size()) + 2));
  EXPECT_EQ(*Get(0, 0), std::string(kPageBytes, 'x'));
  EXPECT_EQ(server_->calls(FakeServer::kAttach), 2);
  EXPECT_EQ(transport_->Stats().sessions_lost, 0u);
}

}  // namespace
}  // namespace farswap::remote

#include "client/runtime/options.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>

namespace farswap::runtime {
namespace {

farswap_client_options Client() {
  farswap_client_options options = DefaultClientOptions();
  options.servers = "127.0.0.1:7070";
  return options;
}

template <typename T>
std::string Message(const T& options) {
  return std::string(ReadOptions(&options).status().message());
}

TEST(ClientOptionsTest, TheDefaultsWorkOnceServersAreNamed) {
  const farswap_client_options options = Client();
  const auto read = ReadOptions(&options);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->fault_deadline_ms, 60000u);
  EXPECT_EQ(read->staging_bytes, 32u << 20);
  EXPECT_STREQ(read->name, "options_test");
}

TEST(ClientOptionsTest, NamesWhatIsWrong) {
  farswap_client_options options = Client();
  options.servers = nullptr;
  EXPECT_EQ(Message(options),
            "servers is NULL; name a server, as HOST:PORT or unix:PATH");
  options.servers = "127.0.0.1";
  EXPECT_NE(Message(options), "");
  options.servers = "a:1,b:2";
  EXPECT_EQ(Message(options),
            "the number of servers is 2; it must be 1: several are not "
            "supported yet");

  options = Client();
  options.fault_deadline_ms = 99;
  EXPECT_EQ(Message(options),
            "fault_deadline_ms is 99; it must be 100 ms to a year");
  options.fault_deadline_ms = UINT64_MAX;
  EXPECT_NE(Message(options), "");

  options = Client();
  for (uint64_t bytes :
       {uint64_t{0}, uint64_t{6} << 20, (uint64_t{8} << 20) + 1,
        UINT64_MAX - ((2 << 20) - 1)}) {
    options.staging_bytes = bytes;
    EXPECT_NE(Message(options), "") << bytes;
  }
  options.staging_bytes = 8 << 20;
  EXPECT_EQ(Message(options), "");
}

TEST(ClientOptionsTest, MetricsAreOffOrAtAnAddress) {
  farswap_client_options options = Client();
  EXPECT_STREQ(ReadOptions(&options)->metrics_listen, "");
  options.metrics_listen = nullptr;
  EXPECT_STREQ(ReadOptions(&options)->metrics_listen, "");
  options.metrics_listen = "127.0.0.1:0";
  EXPECT_EQ(Message(options), "");
  options.metrics_listen = "unix:/x";
  EXPECT_EQ(Message(options),
            "metrics_listen is a Unix socket; Prometheus needs HOST:PORT");
  options.metrics_listen = "9100";
  EXPECT_EQ(Message(options).find("metrics_listen: "), 0u);
}

TEST(ClientOptionsTest, NoNameIsTheProgramsName) {
  farswap_client_options options = Client();
  options.name = nullptr;
  EXPECT_STREQ(ReadOptions(&options)->name, "options_test");
}

TEST(ClientOptionsTest, ACallerOfTheFirstFieldsOnly) {
  farswap_client_options options = Client();
  options.size = offsetof(farswap_client_options, fault_deadline_ms);
  options.fault_deadline_ms = 1;  // Not there, to the library.
  const auto read = ReadOptions(&options);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->fault_deadline_ms, 60000u);
}

TEST(GroupOptionsTest, TheLimitHasAFloor) {
  farswap_group_options options = DefaultGroupOptions();
  EXPECT_EQ(Message(options), "local_limit is 0; it must be at least 8 MiB");
  options.local_limit = (8 << 20) - 1;
  EXPECT_NE(Message(options), "");
  options.local_limit = 8 << 20;
  EXPECT_EQ(Message(options), "");
  options.size = 0;
  EXPECT_NE(Message(options), "");
}

TEST(RegionOptionsTest, NamesWhatIsWrong) {
  farswap_region_options options = DefaultRegionOptions();
  EXPECT_EQ(Message(options), "bytes is 0; it must be 1 to 2^46");
  options.bytes = 1;
  EXPECT_EQ(Message(options), "");
  EXPECT_EQ(ReadOptions(&options)->huge, 1);
  options.huge = 2;
  EXPECT_EQ(Message(options), "huge is 2; it must be 0 or 1");
  options.huge = 0;
  options.fail_policy = 3;
  EXPECT_EQ(Message(options),
            "fail_policy is 3; it must be FARSWAP_FAIL_POISON, "
            "FARSWAP_FAIL_ABORT or FARSWAP_FAIL_WAIT");
  for (const int policy : {FARSWAP_FAIL_ABORT, FARSWAP_FAIL_WAIT}) {
    options.fail_policy = policy;
    EXPECT_EQ(Message(options), "");
  }
  options.bytes = (uint64_t{1} << 46) + 1;
  EXPECT_NE(Message(options), "");
}

}  // namespace
}  // namespace farswap::runtime

#include "common/address.h"

#include <gtest/gtest.h>

namespace farswap {
namespace {

TEST(AddressTest, ReadsHostsAndPorts) {
  const struct {
    const char* text;
    const char* host;
    uint16_t port;
  } cases[] = {
      {"127.0.0.1:0", "127.0.0.1", 0},
      {"localhost:7070", "localhost", 7070},
      {"memory-0.memory.default.svc:65535", "memory-0.memory.default.svc",
       65535},
      {"[::1]:7070", "::1", 7070},
      {"[fe80::1%eth0]:1", "fe80::1%eth0", 1},
  };
  for (const auto& c : cases) {
    const auto address = Address::Parse(c.text);
    ASSERT_TRUE(address.ok()) << address.status();
    EXPECT_FALSE(address->is_unix());
    EXPECT_EQ(address->host(), c.host);
    EXPECT_EQ(address->port(), c.port);
    EXPECT_EQ(address->ToString(), c.text);
  }
}

TEST(AddressTest, ReadsUnixPaths) {
  const auto address = Address::Parse("unix:/run/farswap/data.sock");
  ASSERT_TRUE(address.ok()) << address.status();
  EXPECT_TRUE(address->is_unix());
  EXPECT_EQ(address->path(), "/run/farswap/data.sock");
  EXPECT_EQ(address->ToString(), "unix:/run/farswap/data.sock");

  EXPECT_TRUE(Address::Parse("unix:" + std::string(107, 'x')).ok());
  const auto too_long = Address::Parse("unix:" + std::string(108, 'x'));
  ASSERT_FALSE(too_long.ok());
  EXPECT_NE(too_long.status().message().find("107"), absl::string_view::npos);
}

TEST(AddressTest, RefusesTheRestInOneLine) {
  for (const char* text :
       {"", "localhost", ":7070", "localhost:", "localhost:x", "localhost:-1",
        "localhost:65536", "localhost:70 ", "::1:7070", "[]:7070", "[x:7070",
        "a b:1", "unix:", "http://host:1"}) {
    const auto address = Address::Parse(text);
    ASSERT_FALSE(address.ok()) << text;
    const std::string message(address.status().message());
    EXPECT_NE(message.find(std::string("'") + text + "'"), std::string::npos)
        << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  }
}

TEST(AddressTest, TakesThePortItWasGiven) {
  EXPECT_EQ(Address::Parse("[::1]:0")->WithPort(7).ToString(), "[::1]:7");
}

TEST(AddressTest, ReadsListsOfServers) {
  const auto servers = ParseServers("a:1,[::1]:2,unix:/x");
  ASSERT_TRUE(servers.ok()) << servers.status();
  ASSERT_EQ(servers->size(), 3u);
  EXPECT_EQ((*servers)[2].path(), "/x");
  for (const char* text : {"", "a:1,", ",a:1", "a:0", "a:1,a:1", "a:1,b"}) {
    EXPECT_FALSE(ParseServers(text).ok()) << text;
  }
}

}  // namespace
}  // namespace farswap

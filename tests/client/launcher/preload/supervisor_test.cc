#include "client/launcher/preload/supervisor.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

namespace farswap::launcher::preload {
namespace {

constexpr char kSecret[] = "00ff102030405060708090a0b0c0d0AF";

bool Parses(const std::string& text) {
  Supervisor supervisor;
  return ParseSupervisor(text.c_str(), &supervisor);
}

TEST(Supervisor, IsAnAbstractNameAndASecret) {
  Supervisor supervisor;
  const std::string text = std::string("a:b:") + kSecret;
  ASSERT_TRUE(ParseSupervisor(text.c_str(), &supervisor));
  EXPECT_EQ(supervisor.address_bytes, 2U + 1U + 3U);
  EXPECT_EQ(std::memcmp(supervisor.address.sun_path, "\0a:b", 4), 0);
  EXPECT_EQ(supervisor.secret[0], 0);
  EXPECT_EQ(supervisor.secret[1], 0xff);
  EXPECT_EQ(supervisor.secret[kSecretBytes - 1], 0xaf);
}

TEST(Supervisor, NameIsOfOneTo107Bytes) {
  const std::string end = std::string(":") + kSecret;
  EXPECT_TRUE(Parses(std::string(107, 'n') + end));
  EXPECT_FALSE(Parses(std::string(108, 'n') + end));
  EXPECT_FALSE(Parses(end));
}

TEST(Supervisor, SecretIsOfItsSize) {
  EXPECT_FALSE(Parses(""));
  EXPECT_FALSE(Parses("name"));
  EXPECT_FALSE(Parses("name:"));
  EXPECT_FALSE(Parses("name:0"));
  EXPECT_FALSE(Parses(std::string("name:") + kSecret + "0"));
  EXPECT_FALSE(Parses("name:00ff102030405060708090a0b0c0d0xx"));
}

TEST(Supervisor, VariableIsFoundByItsWholeName) {
  char longer[] = "FARSWAP_RUNS=no";
  char empty[] = "FARSWAP_RUN";
  char right[] = "FARSWAP_RUN=yes";
  char* environment[] = {longer, empty, right, nullptr};
  EXPECT_STREQ(FindVariable(environment, "FARSWAP_RUN"), "yes");
  EXPECT_EQ(FindVariable(environment, "FARSWAP"), nullptr);
  EXPECT_EQ(FindVariable(nullptr, "FARSWAP_RUN"), nullptr);
}

}  // namespace
}  // namespace farswap::launcher::preload

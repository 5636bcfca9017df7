#include "client/launcher/run/options.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "client/launcher/run/local_memory.h"
#include "common/version.h"

namespace farswap::launcher {
namespace {

class OptionsTest : public testing::Test {
 protected:
  int Parse(std::vector<std::string> arguments) {
    options_ = Options{};
    arguments.insert(arguments.begin(), "farswap-run");
    std::vector<char*> argv;
    argv.reserve(arguments.size());
    for (std::string& argument : arguments) argv.push_back(argument.data());
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    const int status =
        ParseOptions(static_cast<int>(argv.size()), argv.data(), &options_);
    fflush(stdout);
    out_ = testing::internal::GetCapturedStdout();
    error_ = testing::internal::GetCapturedStderr();
    return status;
  }

  void ExpectWrong(const std::vector<std::string>& arguments,
                   const std::string& part) {
    EXPECT_EQ(Parse(arguments), 2);
    EXPECT_EQ(out_, "");
    EXPECT_EQ(error_.rfind("farswap-run: ", 0), 0U) << error_;
    EXPECT_NE(error_.find(part), std::string::npos) << error_;
    EXPECT_EQ(error_.find('\n') + 1, error_.size()) << error_;
  }

  Options options_;
  std::string out_;
  std::string error_;
};

using Words = std::vector<std::string>;

TEST_F(OptionsTest, Defaults) {
  ASSERT_EQ(Parse({"true"}), -1);
  EXPECT_EQ(options_.local_memory, DefaultLocalMemory());
  EXPECT_EQ(options_.fault_deadline, std::chrono::seconds(60));
  EXPECT_EQ(options_.servers, "");
  EXPECT_FALSE(options_.strict);
  EXPECT_EQ(options_.command, Words{"true"});
}

TEST_F(OptionsTest, All) {
  ASSERT_EQ(Parse({"--servers=memory-1:7070", "--local-memory", "1G",
                   "--fault-deadline=2m", "--metrics-listen=127.0.0.1:0",
                   "--stats=/dev/null", "--strict", "--", "a", "b"}),
            -1);
  EXPECT_EQ(options_.servers, "memory-1:7070");
  EXPECT_EQ(options_.local_memory, uint64_t{1} << 30);
  EXPECT_EQ(options_.fault_deadline, std::chrono::minutes(2));
  EXPECT_EQ(options_.metrics_listen, "127.0.0.1:0");
  EXPECT_EQ(options_.stats, "/dev/null");
  EXPECT_TRUE(options_.strict);
  EXPECT_EQ(options_.command, (Words{"a", "b"}));
}

TEST_F(OptionsTest, WhatFollowsTheCommandIsTheCommands) {
  ASSERT_EQ(Parse({"ls", "--strict", "--", "--help", "-x"}), -1);
  EXPECT_FALSE(options_.strict);
  EXPECT_EQ(options_.command, (Words{"ls", "--strict", "--", "--help", "-x"}));
  ASSERT_EQ(Parse({"--", "--odd", "--", "x"}), -1);
  EXPECT_EQ(options_.command, (Words{"--odd", "--", "x"}));
  ASSERT_EQ(Parse({"--strict", "--", "--", "x"}), -1);
  EXPECT_EQ(options_.command, (Words{"--", "x"}));
}

TEST_F(OptionsTest, EachWrongOneIsNamedInOneLine) {
  ExpectWrong({}, "no COMMAND given; usage: ");
  ExpectWrong({"--"}, "no COMMAND given; usage: ");
  ExpectWrong({"--strict"}, "no COMMAND given");
  ExpectWrong({"--odd", "true"}, "unknown option --odd; see --help");
  ExpectWrong({"-x", "--", "true"}, "unknown option -x; see --help");
  ExpectWrong({"--local-memory=12MB", "true"}, "--local-memory");
  ExpectWrong({"--local-memory=15M", "true"}, "give at least 16MiB");
  ExpectWrong({"--local-memory=", "true"}, "--local-memory");
  ExpectWrong({"--fault-deadline=9", "true"}, "--fault-deadline");
  ExpectWrong({"--fault-deadline=99ms", "true"}, "give at least 100ms");
  ExpectWrong({"--servers=nowhere", "true"}, "--servers");
  ExpectWrong({"--servers=a:1,b:2", "true"}, "name one");
  ExpectWrong({"--metrics-listen=unix:/x", "true"}, "HOST:PORT");
  ExpectWrong({"--stats=/no/such/folder/file", "true"}, "cannot write");
  ExpectWrong({"--stats"}, "--stats");
}

TEST_F(OptionsTest, HelpTeaches) {
  EXPECT_EQ(Parse({"--help", "true"}), 0);
  EXPECT_NE(out_.find("Usage: farswap-run [OPTIONS] [--] COMMAND"),
            std::string::npos);
  EXPECT_NE(out_.find("  farswap-run --local-memory=256M -- "),
            std::string::npos);
  EXPECT_EQ(error_, "");
}

TEST_F(OptionsTest, Version) {
  EXPECT_EQ(Parse({"--version"}), 0);
  EXPECT_EQ(out_, std::string("farswap-run ") + kVersion + "\n");
}

}  // namespace
}  // namespace farswap::launcher

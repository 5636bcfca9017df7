#include "server/options.h"

#include <gtest/gtest.h>
#include <stdlib.h>

namespace farswap::server {
namespace {

absl::StatusOr<CommandLine> Parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "farswap-server");
  return ParseCommandLine(static_cast<int>(arguments.size()), arguments.data());
}

TEST(OptionsTest, ReadsThemAll) {
  const auto line = Parse(
      {"--listen=unix:/tmp/s", "--admin-listen=[::1]:0",
       "--metrics-listen=0.0.0.0:9", "--data-dir=/d", "--pool=/p",
       "--capacity=5MiB", "--allow-overcommit", "--lease=1s", "--retention=2h",
       "--fault-deadline-default=1m", "--max-sessions=7", "--data-threads=3",
       "--message-memory=64M", "--stop-grace=250ms", "--log-format=json"});
  ASSERT_TRUE(line.ok()) << line.status();
  const ServerOptions& options = *line->options;
  EXPECT_EQ(options.listen.path(), "/tmp/s");
  EXPECT_EQ(options.admin_listen.ToString(), "[::1]:0");
  EXPECT_EQ(options.metrics_listen.port(), 9);
  EXPECT_EQ(options.data_dir, "/d");
  EXPECT_EQ(options.pool.pool, "/p");
  EXPECT_EQ(options.pool.clusters, 2u);
  EXPECT_TRUE(options.pool.allow_overcommit);
  EXPECT_EQ(options.ownership.times.lease.count(), 1000);
  EXPECT_EQ(options.ownership.times.retention.count(), 7'200'000);
  EXPECT_EQ(options.ownership.default_fault_deadline.count(), 60'000);
  EXPECT_EQ(options.ownership.max_sessions, 7u);
  EXPECT_EQ(options.data_threads, 3);
  EXPECT_EQ(options.message_bytes, 64u << 20);
  EXPECT_EQ(line->stop_grace.count(), 250);
  EXPECT_TRUE(line->log_json);
}

TEST(OptionsTest, ReadsTheEnvironment) {
  setenv("FARSWAP_SERVER_DATA_DIR", "/from/environment", 1);
  const auto line = Parse({"--capacity=64M"});
  unsetenv("FARSWAP_SERVER_DATA_DIR");
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_EQ(line->options->data_dir, "/from/environment");
  EXPECT_EQ(line->options->pool.pool, "anon");
}

TEST(OptionsTest, SaysInOneLineWhatIsWrong) {
  const struct {
    std::vector<const char*> arguments;
    const char* says;
  } cases[] = {
      {{}, "--data-dir is required"},
      {{"--data-dir=/d"}, "--capacity is required"},
      {{"--data-dir=/d", "--capacity=1.5GB"}, "1536MiB"},
      {{"--data-dir=/d", "--capacity=-3"}, "--capacity: '-3'"},
      {{"--data-dir=/d", "--capacity=0"}, "at least 1"},
      {{"--data-dir=/d", "--capacity=1GB"}, "write 1GiB"},
      {{"--data-dir=/d", "--capacity=1M"}, "2MiB"},
      {{"--data-dir=/d", "--capacity=1025T"}, "1024TiB"},
      {{"--data-dir=/d", "--capacity=64M", "--listen=here"}, "HOST:PORT"},
      {{"--data-dir=/d", "--capacity=64M", "--admin-listen=h:x"}, "65535"},
      {{"--data-dir=/d", "--capacity=64M", "--metrics-listen=unix:/x"},
       "HOST:PORT"},
      {{"--data-dir=/d", "--capacity=64M", "--lease=1y"}, "--lease"},
      {{"--data-dir=/d", "--capacity=64M", "--retention=1s"}, "--retention"},
      {{"--data-dir=/d", "--capacity=64M", "--data-threads=0"}, "1 to 16"},
      {{"--data-dir=/d", "--capacity=64M", "--message-memory=63M"},
       "--message-memory"},
      {{"--data-dir=/d", "--capacity=64M", "--message-memory=2T"}, "1TiB"},
      {{"--data-dir=/d", "--capacity=64M", "--data-threads=two"},
       "--data-threads"},
      {{"--data-dir=/d", "--capacity=64M", "--max-sessions=0"}, "1000000"},
      {{"--data-dir=/d", "--capacity=64M", "--log-format=xml"}, "json"},
      {{"--data-dir=/d", "--capacity=64M", "--pool="}, "pool"},
      {{"--data-dir=/d", "--capacity=64M", "--no-such"}, "--no-such"},
      {{"--data-dir=/d", "--capacity=64M", "word"}, "word"},
  };
  for (const auto& c : cases) {
    const auto line = Parse(c.arguments);
    ASSERT_FALSE(line.ok()) << c.says;
    const std::string message(line.status().message());
    EXPECT_NE(message.find(c.says), std::string::npos) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  }
}

TEST(OptionsTest, HelpAndVersionWantNothingElse) {
  const auto help = Parse({"--help"});
  ASSERT_TRUE(help.ok());
  EXPECT_FALSE(help->options.has_value());
  for (const char* word : {"--listen", "--capacity", "64GiB", "ready data=",
                           "FARSWAP_SERVER_DATA_DIR", "SIGTERM"}) {
    EXPECT_NE(help->print.find(word), std::string::npos) << word;
  }
  EXPECT_EQ(Parse({"--version"})->print.find("farswap-server "), 0u);
}

}  // namespace
}  // namespace farswap::server

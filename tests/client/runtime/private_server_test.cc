// Against stand-ins for farswap-server: shell scripts that misbehave in one
// way each. The real one is used by farswap_api_test.
#include "client/runtime/private_server.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

namespace farswap::runtime {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

class PrivateServerTest : public testing::Test {
 protected:
  void SetUp() override {
    char directory[] = "/tmp/farswap-test-XXXXXX";
    ASSERT_NE(mkdtemp(directory), nullptr);
    directory_ = directory;
  }
  void TearDown() override {
    unsetenv("FARSWAP_SERVER");
    fs::remove_all(directory_);
  }

  // Makes the script the server. $DIR is its directory, $LISTEN its socket.
  void UseServer(const std::string& body) {
    const std::string path = directory_ + "/server";
    std::ofstream(path) << "#!/bin/sh\n"
                           "for a; do case $a in --listen=*) "
                           "LISTEN=${a#--listen=};; esac; done\n"
                           "DIR="
                        << directory_ << "\n"
                        << body << "\n";
    chmod(path.c_str(), 0700);
    setenv("FARSWAP_SERVER", path.c_str(), 1);
  }

  std::string Read(const std::string& name) const {
    std::ifstream file(directory_ + "/" + name);
    std::string text;
    std::getline(file, text);
    return text;
  }

  static PrivateServerOptions Options() {
    PrivateServerOptions options;
    options.capacity_bytes = 64 << 20;
    return options;
  }

  static std::string DirectoryOf(const PrivateServer& server) {
    return fs::path(server.address().substr(5)).parent_path();
  }

  std::string directory_;
};

constexpr char kServe[] =
    "echo a line before\n"
    "echo farswap-server ready data=$LISTEN admin=x metrics=y\n"
    "exec sleep 60";

TEST_F(PrivateServerTest, StartsServesAndLeavesNothing) {
  UseServer(kServe);
  auto server = PrivateServer::Start(Options());
  ASSERT_TRUE(server.ok()) << server.status();
  const std::string address = (*server)->address();
  EXPECT_EQ(address.rfind("unix:/tmp/farswap-", 0), 0u) << address;
  const pid_t pid = (*server)->pid();
  EXPECT_EQ(kill(pid, 0), 0);
  EXPECT_EQ(getpgid(pid), pid) << "^C in a terminal would reach it";
  const std::string directory = DirectoryOf(**server);
  EXPECT_TRUE(fs::exists(directory));
  server->reset();
  EXPECT_EQ(kill(pid, 0), -1);
  EXPECT_FALSE(fs::exists(directory));
}

TEST_F(PrivateServerTest, PassesTheOptionsOfAPrivateServer) {
  UseServer(std::string("echo \"$@\" >$DIR/arguments\n") + kServe);
  auto server = PrivateServer::Start(Options());
  ASSERT_TRUE(server.ok()) << server.status();
  const std::string directory = DirectoryOf(**server);
  EXPECT_EQ(Read("arguments"),
            "--listen=unix:" + directory +
                "/data --admin-listen=unix:" + directory +
                "/admin --metrics-listen=127.0.0.1:0 --data-dir=" + directory +
                "/metadata --pool=anon --capacity=67108864 "
                "--allow-overcommit");
}

TEST_F(PrivateServerTest, InheritsNoDescriptors) {
  // One line, as that is what Read gives. The shell has descriptors of its
  // own beside the streams, so the leak is known by its name.
  UseServer(std::string("ls -l /proc/$$/fd >$DIR/list\n"
                        "tr '\\n' ' ' <$DIR/list >$DIR/fds\n") +
            kServe);
  const int leak =
      open((directory_ + "/leak").c_str(), O_WRONLY | O_CREAT, 0600);
  ASSERT_GE(leak, 0);
  auto server = PrivateServer::Start(Options());
  close(leak);
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_THAT(Read("fds"), testing::HasSubstr("/dev/null"));
  EXPECT_THAT(Read("fds"), testing::Not(testing::HasSubstr("/leak")));
}

TEST_F(PrivateServerTest, SaysWhyItDidNotStart) {
  UseServer("echo 'some log' >&2; echo 'capacity: too much' >&2; exit 2");
  auto server = PrivateServer::Start(Options());
  EXPECT_EQ(server.status().message(),
            "the private farswap-server did not start: exit status 2, "
            "\"capacity: too much\"");
}

TEST_F(PrivateServerTest, DoesNotWaitForEver) {
  UseServer("echo not the line; exec sleep 60");
  PrivateServerOptions options = Options();
  options.start_timeout = milliseconds(200);
  const auto begin = steady_clock::now();
  auto server = PrivateServer::Start(options);
  EXPECT_EQ(server.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_LT(steady_clock::now() - begin, std::chrono::seconds(20));
}

TEST_F(PrivateServerTest, OneThatIgnoresSigtermIsKilled) {
  UseServer(
      "trap '' TERM\n"
      "echo farswap-server ready data=$LISTEN\n"
      "while :; do sleep 0.1; done");
  PrivateServerOptions options = Options();
  options.stop_timeout = milliseconds(200);
  auto server = PrivateServer::Start(options);
  ASSERT_TRUE(server.ok()) << server.status();
  const pid_t pid = (*server)->pid();
  server->reset();
  EXPECT_EQ(kill(pid, 0), -1);
}

// A program that is killed takes its server with it.
TEST_F(PrivateServerTest, EndsWithTheProgram) {
  UseServer(std::string("echo $LISTEN >$DIR/listen\n") + kServe);
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t program = fork();
  if (program == 0) {
    auto server = PrivateServer::Start(Options());
    const pid_t pid = server.ok() ? (*server)->pid() : -1;
    if (write(ready[1], &pid, sizeof(pid)) != sizeof(pid)) _exit(1);
    for (;;) pause();
  }
  close(ready[1]);
  // To learn of the orphan's end: it becomes this process's child.
  ASSERT_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
  pid_t server = -1;
  ASSERT_EQ(read(ready[0], &server, sizeof(server)),
            static_cast<ssize_t>(sizeof(server)));
  close(ready[0]);
  ASSERT_GT(server, 0);
  ASSERT_EQ(kill(program, SIGKILL), 0);
  ASSERT_EQ(waitpid(program, nullptr, 0), program);
  int status = 0;
  ASSERT_EQ(waitpid(server, &status, 0), server);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  // A program that was killed cannot remove the directory: the test does.
  const std::string listen = Read("listen");
  ASSERT_EQ(listen.rfind("unix:/tmp/farswap-", 0), 0u) << listen;
  fs::remove_all(fs::path(listen.substr(5)).parent_path());
}

TEST_F(PrivateServerTest, StartsFromAProcessOfManyThreads) {
  UseServer(kServe);
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&stop] {
      while (!stop) free(malloc(1000));
    });
  }
  for (int i = 0; i < 5; ++i) {
    auto server = PrivateServer::Start(Options());
    EXPECT_TRUE(server.ok()) << server.status();
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
}

TEST_F(PrivateServerTest, FindsNoServerWhereThereIsNone) {
  setenv("FARSWAP_SERVER", "/nonexistent/farswap-server", 1);
  EXPECT_EQ(PrivateServer::Start(Options()).status().message(),
            "FARSWAP_SERVER=/nonexistent/farswap-server is not a program that "
            "can run");
}

TEST_F(PrivateServerTest, FindsTheServerInPath) {
  UseServer(kServe);
  unsetenv("FARSWAP_SERVER");
  fs::rename(directory_ + "/server", directory_ + "/farswap-server");
  const std::string path = getenv("PATH");
  setenv("PATH", ("/nonexistent:" + directory_).c_str(), 1);
  const auto found = FindServer();
  setenv("PATH", "/nonexistent", 1);
  const auto missing = FindServer();
  setenv("PATH", path.c_str(), 1);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(*found, directory_ + "/farswap-server");
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace farswap::runtime

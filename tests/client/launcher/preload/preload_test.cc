#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "client/launcher/process_wire.h"
#include "tests/client/launcher/preload/peer.h"
#include "tests/client/launcher/preload/program.h"

namespace farswap::launcher {
namespace {

int RunCode(const std::vector<std::string>& arguments, const std::string& run) {
  Program program(arguments, run);
  return program.Code();
}

int GuestCode(const std::string& line, const std::string& run) {
  Program guest({GuestPath()}, run);
  guest.Say(line);
  return guest.Code();
}

// The mapping of `pid` that begins at `start`, as /proc/PID/smaps has it.
std::string Mapping(pid_t pid, uint64_t start) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/smaps");
  char wanted[32];
  (void)snprintf(wanted, sizeof(wanted), "%lx-", start);
  std::string mapping;
  for (std::string line; std::getline(file, line);) {
    if (mapping.empty() && line.compare(0, strlen(wanted), wanted) != 0) {
      continue;
    }
    mapping += line + "\n";
    if (line.compare(0, 7, "VmFlags") == 0) break;
  }
  return mapping;
}

class Preload : public testing::Test {
 protected:
  static void SetUpTestSuite() { (void)signal(SIGPIPE, SIG_IGN); }
  Listener listener_;
};

TEST_F(Preload, HelloNamesTheMemoryOfTheLibrary) {
  Program guest({GuestPath()}, listener_.run());
  const auto peer = listener_.Accept();
  ASSERT_NE(peer, nullptr);
  const Hello& hello = peer->hello();
  EXPECT_EQ(peer->pid(), guest.pid());
  EXPECT_TRUE(std::filesystem::exists("/proc/" + std::to_string(guest.pid()) +
                                      "/task/" + std::to_string(hello.mover)));
  EXPECT_EQ(hello.tag, 0U);
  EXPECT_EQ(hello.transit % (2 << 20), 0U);
  EXPECT_EQ(hello.transit + kTransitBytes, hello.own_end);
  EXPECT_EQ(hello.tag_page + kPage, hello.transit);
  const std::string tag = Mapping(guest.pid(), hello.tag_page);
  EXPECT_TRUE(Has(tag, " wf ") && Has(tag, "Rss:                   0 kB"))
      << tag;
  const std::string transit = Mapping(guest.pid(), hello.transit);
  EXPECT_TRUE(Has(transit, " dc ")) << transit;
  EXPECT_TRUE(Has(transit, "Rss:                   0 kB")) << transit;
  EXPECT_TRUE(Has(Mapping(guest.pid(), hello.own_start), "---p "));
}

TEST_F(Preload, ExitCodesAreTheProgramsOwn) {
  const std::string& run = listener_.run();
  EXPECT_EQ(RunCode({"/bin/true"}, run), 0);
  EXPECT_EQ(RunCode({"/bin/false"}, run), 1);
  EXPECT_EQ(RunCode(Shell("exit 7"), run), 7);
  EXPECT_EQ(RunCode(Shell("kill -TERM $$"), run), -SIGTERM);
  EXPECT_EQ(RunCode(Shell("echo a | cat; (exit 3)"), run), 3);
}

TEST_F(Preload, WaysToEndAreTheProgramsOwn) {
  const std::string& run = listener_.run();
  EXPECT_EQ(GuestCode("exit", run), 7);
  EXPECT_EQ(GuestCode("abort", run), -SIGABRT);
  EXPECT_EQ(GuestCode("leave", run), 0);
  EXPECT_EQ(GuestCode("exec", run), 9);
}

TEST_F(Preload, WithoutTheVariableNothingIsDone) {
  Program guest({GuestPath()}, "");
  ASSERT_EQ(guest.Ask("ping"), "pong");
  EXPECT_EQ(Threads(guest.pid()).size(), 1U);
}

TEST_F(Preload, WithItThereIsOneThreadMore) {
  Program guest({GuestPath()}, listener_.run());
  ASSERT_EQ(guest.Ask("ping"), "pong");
  EXPECT_EQ(Threads(guest.pid()).size(), 2U);
}

TEST_F(Preload, NobodysProgramsArePagedFor) {
  if (geteuid() != 0) GTEST_SKIP() << "not root";
  // The streams are the test's, and open already.
  Program guest({GuestPath()}, listener_.run(), [] {
    if (setgid(65534) != 0 || setuid(65534) != 0) _exit(126);
  });
  const auto peer = listener_.Accept();
  ASSERT_NE(peer, nullptr);
  EXPECT_EQ(guest.Ask("dumpable"), "1");
  const int uffd = peer->MakeUffd();
  ASSERT_GE(uffd, 0);
  const uint64_t memory = std::stoull(guest.Ask("memory"));
  const uint64_t transit = peer->hello().transit;
  ASSERT_TRUE(Register(uffd, transit, kTransitBytes));
  ASSERT_TRUE(Register(uffd, memory, kPage));
  EXPECT_EQ(peer->Ask(Op::kMove, transit, memory, kPage), 0);
  close(uffd);
}

TEST_F(Preload, PythonRuns) {
  if (access("/usr/bin/python3", X_OK) != 0) GTEST_SKIP() << "no python3";
  Program program({"/usr/bin/python3", "-c",
                   "import os, subprocess, threading\n"
                   "t = threading.Thread(target=lambda: None)\n"
                   "t.start(), t.join()\n"
                   "pid = os.fork()\n"
                   "if pid == 0: os._exit(4)\n"
                   "print(os.waitpid(pid, 0)[1] >> 8)\n"
                   "print(subprocess.call(['/bin/false']))"},
                  listener_.run());
  EXPECT_EQ(program.Line(), "4");
  EXPECT_EQ(program.Line(), "1");
  EXPECT_EQ(program.Code(), 0);
  EXPECT_EQ(program.Errors(), "");
}

// What it takes from libc, and what a program could find in it.
TEST_F(Preload, NamesNothingButThis) {
  Program nm({"/usr/bin/nm", "-DP", LibraryPath()}, "");
  std::set<std::string> names;
  for (std::string line = nm.Line(); !line.empty(); line = nm.Line()) {
    // A weak one that nobody has is of the compiler's start files.
    if (!Has(line, " w"))
      names.insert(line.substr(0, line.find_first_of(" @")));
  }
  EXPECT_EQ(nm.Code(), 0);
  EXPECT_EQ(names, (std::set<std::string>{"__errno_location",
                                          "__register_atfork", "getauxval"}));
}

// For the reader: what the constructor costs. Nothing is asserted of time.
TEST_F(Preload, Cost) {
  constexpr int kRounds = 100;
  for (const std::string& run : {std::string(), listener_.run()}) {
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < kRounds; ++i) {
      ASSERT_EQ(RunCode({"/bin/true"}, run), 0);
      // The queue of the socket has an end.
      ASSERT_TRUE(run.empty() || listener_.Accept() != nullptr);
    }
    const std::chrono::duration<double, std::micro> taken =
        std::chrono::steady_clock::now() - start;
    printf("/bin/true %s: %.0f us\n", run.empty() ? "alone" : "with a mover",
           taken.count() / kRounds);
  }
}

}  // namespace
}  // namespace farswap::launcher

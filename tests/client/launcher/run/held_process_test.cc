// What becomes of processes while they are held: with the real library, and a
// pager that is not ready, nor reads what they say.
#include "client/launcher/run/held_process.h"

#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "client/launcher/run/fd.h"
#include "client/launcher/run/proc.h"
#include "tests/client/launcher/run/run_fixture.h"

namespace farswap::launcher {
namespace {

// The last of the lines that the pager begins with.
constexpr char kStarted[] = "no SIGTERM mask";
constexpr uint64_t kMemory = uint64_t{4} << 20;
constexpr int kRounds = 4000;
constexpr int kRoundUs = 5000;

// Whether what is touched first in the mapping that has `at` waits.
bool IsRegistered(pid_t pid, uint64_t at) {
  std::ifstream smaps("/proc/" + std::to_string(pid) + "/smaps");
  bool here = false;
  for (std::string line; std::getline(smaps, line);) {
    uint64_t start = 0;
    uint64_t end = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx ", &start, &end) == 2) {
      here = start <= at && at < end;
    } else if (here && line.starts_with("VmFlags:")) {
      return line.find(" um") != std::string::npos;
    }
  }
  return false;
}

bool WaitForRegistered(pid_t pid, uint64_t at, bool registered) {
  for (int round = 0; round < kRounds; ++round) {
    if (IsRegistered(pid, at) == registered) return true;
    usleep(kRoundUs);
  }
  return false;
}

// Those of the process that are userfaultfds, as this process's.
std::vector<Fd> Uffds(pid_t pid) {
  std::vector<Fd> found;
  const Fd pidfd = OpenPidfd(pid);
  const std::string folder = "/proc/" + std::to_string(pid) + "/fd";
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    std::error_code error;
    const std::string is = std::filesystem::read_symlink(entry, error).string();
    if (is.find("[userfaultfd]") == std::string::npos) continue;
    const int fd = std::stoi(entry.path().filename().string());
    found.emplace_back(
        static_cast<int>(syscall(SYS_pidfd_getfd, pidfd.get(), fd, 0)));
  }
  return found;
}

// The process gets no more descriptors than it has.
void LetNoMoreBeOpened(pid_t pid) {
  rlimit limit{};
  const std::string folder = "/proc/" + std::to_string(pid) + "/fd/";
  while (std::filesystem::is_symlink(folder + std::to_string(limit.rlim_cur))) {
    ++limit.rlim_cur;
  }
  limit.rlim_max = limit.rlim_cur;
  ASSERT_EQ(prlimit(pid, RLIMIT_NOFILE, &limit, nullptr), 0);
}

class HeldProcessTest : public RunTest {
 protected:
  HeldProcessTest() {
    environment_["FARSWAP_PRELOAD"] = Tool("TEST_REAL_PRELOAD");
    TakeOrders();
  }

  // Of a line of the program's.
  struct Place {
    pid_t pid = 0;
    uint64_t memory = 0;
    uint64_t stack = 0;
  };
  Place NextPlace(const std::string& what) {
    const std::string line = out_.Next();
    std::istringstream words(line);
    std::string first;
    Place place;
    words >> first >> place.pid >> std::hex >> place.memory >> place.stack;
    EXPECT_EQ(first, what) << line;
    return place;
  }

  // Until it is held and the pager started.
  Place Hold(const std::string& action) {
    Start({"--local-memory=64M", "--", Tool("TEST_HELD_PROGRAM"), action});
    const Place place = NextPlace("here");
    EXPECT_EQ(pager_.Find(kStarted), kStarted);
    EXPECT_TRUE(WaitForRegistered(place.pid, place.memory, true));
    EXPECT_TRUE(WaitForRegistered(place.pid, place.stack, true));
    return place;
  }

  // The pager ends, and so do the programs.
  void EndAll(pid_t held) {
    Order("die");
    Wait();
    EXPECT_TRUE(WaitForEnd(held));
  }
};

TEST_F(HeldProcessTest, IsHandedOverWithItsUserfaultfd) {
  const Place held = Hold("map");
  kill(held.pid, SIGUSR1);
  const Place more = NextPlace("map");
  EXPECT_TRUE(WaitForRegistered(held.pid, more.memory, true));
  Order("ready");
  EXPECT_EQ(pager_.Next(), "listen");
  EXPECT_EQ(pager_.Next(), "uffd");
  EXPECT_EQ(pager_.Next(), "process " + std::to_string(held.pid) + " sent");
  // Its child may be so busy that it has not answered.
  const std::string next = pager_.Next();
  EXPECT_TRUE(next == "uffd" || next.ends_with(" asked")) << next;
  EndAll(held.pid);
}

TEST_F(HeldProcessTest, WhatIsRegisteredIsNotRegisteredAgain) {
  const Place held = Hold("map");
  // Its child's as well: which is whose cannot be seen.
  for (const Fd& uffd : Uffds(pid_)) {
    uffdio_range range{held.memory, kMemory};
    ioctl(uffd.get(), UFFDIO_UNREGISTER, &range);
  }
  EXPECT_FALSE(IsRegistered(held.pid, held.memory));
  // Two looks: each registers what has become of the map by then.
  for (int look = 0; look < 2; ++look) {
    kill(held.pid, SIGUSR1);
    const Place more = NextPlace("map");
    EXPECT_TRUE(WaitForRegistered(held.pid, more.memory, true));
  }
  EXPECT_FALSE(IsRegistered(held.pid, held.memory));
  EndAll(held.pid);
}

TEST_F(HeldProcessTest, WhatIsMappedWhereSomethingWasIsRegistered) {
  const Place held = Hold("remap");
  kill(held.pid, SIGUSR1);
  NextPlace("remap");
  EXPECT_TRUE(WaitForRegistered(held.pid, held.memory, true));
  EndAll(held.pid);
}

TEST_F(HeldProcessTest, AForkWaitsAndCanBeEnded) {
  const Place held = Hold("fork");
  kill(held.pid, SIGUSR1);
  EXPECT_EQ(WaitForState(held.pid, 'D'), 'D');
  EndAll(held.pid);
  EXPECT_EQ(out_.Next(), "(end)");
}

TEST_F(HeldProcessTest, AnUnmappingWaitsAndIsHandedOver) {
  const Place held = Hold("unmap");
  kill(held.pid, SIGUSR1);
  EXPECT_EQ(WaitForState(held.pid, 'D'), 'D');
  Order("ready");
  const std::string sent = "process " + std::to_string(held.pid) + " sent";
  EXPECT_EQ(pager_.Find(sent), sent);
  EndAll(held.pid);
  EXPECT_EQ(out_.Next(), "(end)");
}

TEST_F(HeldProcessTest, AnExecIsHeldNoMore) {
  const Place held = Hold("exec");
  kill(held.pid, SIGUSR1);
  EXPECT_EQ(NextPlace("again").pid, held.pid);
  Order("ready");
  const std::string process = "process " + std::to_string(held.pid);
  EXPECT_EQ(pager_.Find(process), process);
  EndAll(held.pid);
}

TEST_F(HeldProcessTest, AnEndIsNotHandedOver) {
  const Place held = Hold("exit");
  kill(held.pid, SIGUSR1);
  EXPECT_TRUE(WaitForEnd(held.pid));
  Order("ready");
  EXPECT_EQ(WEXITSTATUS(Wait()), 7);
  std::string line;
  while ((line = pager_.Next()) != "bye") {
    ASSERT_NE(line, "(nothing)");
    EXPECT_EQ(line.find("process " + std::to_string(held.pid)),
              std::string::npos);
  }
}

TEST_F(HeldProcessTest, TheStackOfAThreadIsLetGo) {
  const Place held = Hold("thread");
  kill(held.pid, SIGUSR1);
  NextPlace("thread");
  EXPECT_FALSE(IsRegistered(held.pid, held.stack));
  EXPECT_TRUE(IsRegistered(held.pid, held.memory));
  EndAll(held.pid);
}

TEST_F(HeldProcessTest, GoesOnIfThereIsNoDescriptorToHoldItBy) {
  Start({"--local-memory=64M", "--", Tool("TEST_HELD_PROGRAM"), "late"});
  const Place held = NextPlace("here");
  EXPECT_EQ(pager_.Find(kStarted), kStarted);
  LetNoMoreBeOpened(pid_);
  kill(held.pid, SIGUSR1);
  NextPlace("late");
  Order("ready");
  EXPECT_EQ(pager_.Next(), "listen");
  EXPECT_EQ(pager_.Next(), "process " + std::to_string(held.pid));
  CloseInput();
  EXPECT_EQ(WEXITSTATUS(Wait()), 0);
}

}  // namespace
}  // namespace farswap::launcher

// The chaos program as one that knows nothing of far memory: under the real
// farswap-run, farswap-pager and preload library, in less than a quarter of its
// memory, with forks, execs, and a real farswap-server that is stopped, killed,
// ended and started again.
//
// With its pool nothing is lost: no SIGBUS, no wrong byte. When its pool is
// lost, cut short, an older one, or has other bytes in it, what was there
// raises SIGBUS: never zeros, never old bytes.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "tests/chaos/chaos_program.h"
#include "tests/chaos/server_trouble.h"
#include "tests/client/runtime/privilege.h"

namespace farswap::chaos {
namespace {

namespace fs = std::filesystem;

// The program's, and that of what it executes and forks.
constexpr char kCapacity[] = "512MiB";
// So long that no fault's passes: what is SIGBUS is lost.
constexpr char kDeadline[] = "--fault-deadline=30m";
// After its time it waits for its children, and reads everything once more.
constexpr std::chrono::minutes kPatience{8};

// 15 seconds; with FARSWAP_TEST_LONG=1 ten minutes.
std::chrono::seconds Time() {
  return Rounds() > 1 ? 2 * Rounds() * kRound : kRound;
}

class ChaosLauncherTest : public testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  // Runs it all; the program's status as of wait.
  int Run(bool lossy);
  void StartProgram(bool lossy, const std::string& server);
  // Of farswap-run's statistics; they are there when the pager has ended.
  uint64_t Stat(const std::string& name) const;

 private:
  std::string stats() const { return folder_ + "/stats.json"; }
  // -1 if it is not there yet.
  int64_t ReadStat(const std::string& name) const;

  uint64_t seed_ = 0;
  std::string folder_;
  pid_t run_ = -1;
};

void ChaosLauncherTest::SetUp() {
  if (!HasUserfaultfd() || !HasForkEvents()) {
    GTEST_SKIP() << "NOT TESTED: no privilege for userfaultfd; run as root";
  }
  seed_ = PickSeed();
  RecordProperty("seed", std::to_string(seed_));
  char folder[] = "/tmp/fs-XXXXXX";
  ASSERT_NE(mkdtemp(folder), nullptr);
  folder_ = folder;
}

// The end of farswap-run is that of all that it started.
void ChaosLauncherTest::TearDown() {
  if (run_ > 0) {
    kill(run_, SIGKILL);
    waitpid(run_, nullptr, 0);
  }
  if (!folder_.empty()) fs::remove_all(folder_);
}

void ChaosLauncherTest::StartProgram(bool lossy, const std::string& server) {
  const std::string seed = std::to_string(seed_);
  const std::string seconds = std::to_string(Time().count());
  const std::string servers = "--servers=" + server;
  const std::string local =
      "--local-memory=" + std::to_string(Program::kLimit >> 20) + "M";
  const std::string stats_option = "--stats=" + stats();
  run_ = fork();
  if (run_ != 0) return;
  setenv("FARSWAP_PAGER", "client/launcher/pager/farswap-pager", 1);
  setenv("FARSWAP_PRELOAD", "client/launcher/preload/libfarswap-preload.so", 1);
  execl("client/launcher/run/farswap-run", "farswap-run", servers.c_str(),
        local.c_str(), stats_option.c_str(), kDeadline, "--",
        "tests/chaos/plain_program", seed.c_str(), seconds.c_str(),
        lossy ? "lossy" : "kept", nullptr);
  _exit(127);
}

int ChaosLauncherTest::Run(bool lossy) {
  const auto until = std::chrono::steady_clock::now() + Time() + kPatience;
  ServerTrouble trouble(seed_, kCapacity, lossy);
  EXPECT_TRUE(trouble.Start());
  StartProgram(lossy, trouble.address());
  int status = 0;
  while (waitpid(run_, &status, WNOHANG) == 0) {
    if (std::chrono::steady_clock::now() > until || HasFailure()) {
      ADD_FAILURE() << "not done in time, or as above";
      return -1;
    }
    trouble.SleepAtMost(500);
    trouble.Make();
  }
  run_ = -1;
  trouble.Print();
  std::printf("%llu refaults, %llu MiB remote at most, %llu pages lost\n",
              static_cast<unsigned long long>(Stat("refaults")),
              static_cast<unsigned long long>(Stat("remote_peak_bytes") >> 20),
              static_cast<unsigned long long>(Stat("pages_lost")));
  EXPECT_GT(Stat("refaults"), 100U);
  // Much is discarded before it has to go.
  EXPECT_GT(Stat("remote_peak_bytes"), Program::kLimit / 4);
  EXPECT_GT(Stat("forks"), 2U);
  return status;
}

int64_t ChaosLauncherTest::ReadStat(const std::string& name) const {
  std::stringstream text;
  text << std::ifstream(stats()).rdbuf();
  const std::string all = text.str();
  const std::string key = "\"" + name + "\":";
  const size_t at = all.find(key);
  if (at == std::string::npos || all.find('}') == std::string::npos) return -1;
  return std::strtoll(all.c_str() + at + key.size(), nullptr, 10);
}

uint64_t ChaosLauncherTest::Stat(const std::string& name) const {
  const auto until = std::chrono::steady_clock::now() + kPatience;
  int64_t value = ReadStat(name);
  while (value < 0 && std::chrono::steady_clock::now() < until) {
    usleep(10000);
    value = ReadStat(name);
  }
  EXPECT_GE(value, 0) << name;
  return static_cast<uint64_t>(value);
}

TEST_F(ChaosLauncherTest, AServerThatComesBackLosesNothing) {
  // Pages are lost to children, what others moved just then, and to who ended.
  EXPECT_EQ(Run(/*lossy=*/false), 0);
  EXPECT_EQ(Stat("checksum_errors"), 0U);
}

TEST_F(ChaosLauncherTest, AServerThatIsLostIsSigbusNeverZerosNeverOldBytes) {
  EXPECT_EQ(Run(/*lossy=*/true), 0);
  EXPECT_GT(Stat("pages_lost"), 0U);
}

}  // namespace
}  // namespace farswap::chaos

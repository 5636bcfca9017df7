// When the pager is started, what it is given, and what its end means.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

#include "client/launcher/process/private_bytes.h"
#include "client/launcher/run/fd.h"
#include "client/launcher/run/memory.h"
#include "tests/client/launcher/run/run_fixture.h"

namespace farswap::launcher {
namespace {

// The last of the lines that the pager begins with.
constexpr char kStarted[] = "no SIGTERM mask";
// Enough for a pager of 64 MiB to be started, but not to be held until then.
constexpr int kFewBytes = 20 << 20;

class SupervisorTest : public RunTest {
 protected:
  // Half of 64 MiB, and an eighth: 8 MiB is the threshold. Returns the command.
  pid_t StartGrowing(int bytes = 40 << 20) {
    Start({"--local-memory=64M", "--", "sh", "-c",
           "echo $$; exec " + Tool("TEST_PROGRAM") + " grow " +
               std::to_string(bytes)});
    const pid_t command = std::atoi(out_.Next().c_str());
    EXPECT_EQ(out_.Next(), "grown");
    return command;
  }
};

TEST_F(SupervisorTest, NoPagerWhereMemoryIsPlenty) {
  EXPECT_EQ(RunToEnd({"--local-memory=64M", "--stats=" + Path("stats"), "--",
                      Tool("TEST_PROGRAM"), "grow", "4096"}),
            0);
  EXPECT_EQ(error_.Rest(), "");
  std::ifstream stats(Path("stats"));
  const std::string text(std::istreambuf_iterator<char>(stats), {});
  EXPECT_NE(text.find("\"faults\": 0"), std::string::npos) << text;
}

TEST_F(SupervisorTest, ThePagerGetsTheOptionsAndTheProcesses) {
  Start({"--local-memory=64M", "--servers=unix:/s", "--fault-deadline=5s",
         "--metrics-listen=127.0.0.1:0", "--", "sh", "-c",
         "echo $$; sh -c 'echo $$; exec " + Tool("TEST_PROGRAM") +
             " grow 20000000'; exit 3"});
  const std::string shell = out_.Next();
  const std::string grown = out_.Next();
  EXPECT_EQ(pager_.Next(),
            "start --local-memory=67108864 --fault-deadline=5s "
            "--servers=unix:/s --metrics-listen=127.0.0.1:0");
  EXPECT_EQ(pager_.Next(), "fds 0 1 2 3");
  EXPECT_EQ(pager_.Next(), "leads its session");
  EXPECT_EQ(pager_.Next(), "no FARSWAP_RUN");
  EXPECT_EQ(pager_.Next(), "no SIGTERM mask");
  EXPECT_EQ(pager_.Next(), "listen");
  EXPECT_EQ(pager_.Next(), "process " + shell);
  EXPECT_EQ(pager_.Next(), "process " + grown);
  CloseInput();
  EXPECT_EQ(WEXITSTATUS(Wait()), 3);
  EXPECT_NE(pager_.Find("bye"), "(nothing)");
  EXPECT_EQ(error_.Rest(), "");
}

TEST_F(SupervisorTest, WhoConnectsWhileThePagerIsNotReadyIsHandedOver) {
  ASSERT_EQ(mkfifo(Path("go").c_str(), 0600), 0);
  TakeOrders();
  Start({"--local-memory=64M", "--", "bash", "-c",
         Tool("TEST_PROGRAM") + " grow 20000000 <&0 & read line <" +
             Path("go") + "; (echo child $BASHPID; read line); echo done"});
  EXPECT_EQ(out_.Next(), "grown");
  EXPECT_EQ(pager_.Find(kStarted), kStarted);
  std::ofstream(Path("go")) << "\n";
  const std::string child = out_.Next();
  ASSERT_EQ(child.rfind("child ", 0), 0U);
  Order("ready");
  EXPECT_EQ(pager_.Next(), "listen");
  const std::string process = "process " + child.substr(6);
  EXPECT_EQ(pager_.Find(process), process);
  CloseInput();
  EXPECT_EQ(out_.Next(), "done");
  EXPECT_EQ(Wait(), 0);
  EXPECT_EQ(pager_.Find("bye"), "bye");
}

TEST_F(SupervisorTest, ThatMemoryIsFreedAgainMakesNoOtherPager) {
  Start({"--local-memory=64M", "--", "bash", "-c",
         "echo | " + Tool("TEST_PROGRAM") + " grow 60000000;" +
             Tool("TEST_PROGRAM") + " grow 60000000"});
  EXPECT_EQ(out_.Next(), "grown");
  EXPECT_EQ(out_.Next(), "grown");
  CloseInput();
  EXPECT_EQ(Wait(), 0);
  EXPECT_EQ(pager_.Next().rfind("start", 0), 0U);
  std::string line;
  while ((line = pager_.Next()) != "bye") {
    ASSERT_NE(line, "(nothing)");
    EXPECT_NE(line.rfind("start", 0), 0U);
  }
}

// With the real library: what would grow waits.
TEST_F(SupervisorTest, NobodyGrowsWhileThePagerStarts) {
  constexpr uint64_t kLimit = uint64_t{64} << 20;
  constexpr uint64_t kBound = kLimit + kLimit / 20 + (uint64_t{32} << 20);
  environment_["FARSWAP_PRELOAD"] = Tool("TEST_REAL_PRELOAD");
  TakeOrders();
  Start({"--local-memory=64M", "--", "sh", "-c",
         "echo $$; exec " + Tool("TEST_PROGRAM") + " grow 400000000"});
  const pid_t command = std::atoi(out_.Next().c_str());
  const Fd statm(open(("/proc/" + std::to_string(command) + "/statm").c_str(),
                      O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(pager_.Find(kStarted), kStarted);
  uint64_t bytes = 0;
  // It would have all of it in less than a second.
  for (int look = 0; look < 2000 && bytes <= kBound; ++look) {
    bytes = PrivateBytes(statm.get());
    usleep(1000);
  }
  EXPECT_GT(bytes, FarThreshold(kLimit));
  EXPECT_LE(bytes, kBound);
  EXPECT_EQ(WaitForState(command, 'S'), 'S');
  Order("die");
  EXPECT_EQ(WEXITSTATUS(Wait()), 1);
  EXPECT_EQ(out_.Next(), "(end)");
}

TEST_F(SupervisorTest, APagerThatFailsEndsThePrograms) {
  for (const char* how : {"fail", "die"}) {
    TakeOrders();
    StartGrowing();
    EXPECT_EQ(pager_.Find(kStarted), kStarted);
    Order(how);
    const int status = Wait();
    EXPECT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 1);
    EXPECT_EQ(error_.Next(),
              "farswap-run: the pager did not start; without it the programs "
              "are ended");
    EXPECT_EQ(error_.Next(), "(end)");
    EXPECT_EQ(out_.Next(), "(end)");  // None is left that could say more.
  }
}

TEST_F(SupervisorTest, APagerThatCannotBeExecutedEndsThePrograms) {
  std::ofstream(Path("pager")) << "#!/no/such/interpreter\n";
  ASSERT_EQ(system(("chmod 755 " + Path("pager")).c_str()), 0);
  environment_["FARSWAP_PAGER"] = Path("pager");
  Start({"--local-memory=64M", "--", Tool("TEST_PROGRAM"), "grow", "40000000"});
  EXPECT_EQ(WEXITSTATUS(Wait()), 1);
  EXPECT_NE(error_.Next().find("cannot execute"), std::string::npos);
  EXPECT_EQ(error_.Next(), "(end)");
}

TEST_F(SupervisorTest, APagerThatDiesTakesTheProgramsAlong) {
  TakeOrders();
  StartGrowing();
  Order("ready");
  EXPECT_EQ(pager_.Find("process").rfind("process", 0), 0U);
  Order("die");
  const int status = Wait();
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGKILL);
  EXPECT_EQ(error_.Rest(),
            "farswap-run: the pager has ended, and with it the programs\n");
}

TEST_F(SupervisorTest, OurEndIsSeenByThePager) {
  StartGrowing();
  EXPECT_EQ(pager_.Find("process").rfind("process", 0), 0U);
  kill(pid_, SIGKILL);
  EXPECT_TRUE(WIFSIGNALED(Wait()));
  EXPECT_EQ(pager_.Find("front gone"), "front gone");
}

TEST_F(SupervisorTest, OurEndBeforeThereIsAPagerIsThatOfThePrograms) {
  Start({"--", "bash", "-c", "echo $$; read line"});
  const pid_t command = std::atoi(out_.Next().c_str());
  kill(pid_, SIGKILL);
  EXPECT_TRUE(WIFSIGNALED(Wait()));
  EXPECT_TRUE(WaitForEnd(command));
}

TEST_F(SupervisorTest, ADaemonKeepsAPagerOfItsOwn) {
  Start({"--stats=" + Path("stats"), "--", "bash", "-c",
         "(exec >&- 2>&-; exec sleep 1000) & echo $!; exit 4"});
  // It may be the pager, or farswap-run, that it finds.
  const pid_t daemon = std::atoi(out_.Next().c_str());
  EXPECT_EQ(WEXITSTATUS(Wait()), 4);
  const std::string start = pager_.Find("start");
  EXPECT_NE(start.find("--stats=" + Path("stats")), std::string::npos) << start;
  EXPECT_EQ(pager_.Find("bye"), "bye");
  EXPECT_EQ(kill(daemon, 0), 0);
  kill(daemon, SIGTERM);
  EXPECT_EQ(pager_.Find("all gone"), "all gone");
}

TEST_F(SupervisorTest, ASignalAfterTheCommandLeavesItsDaemonToThePager) {
  TakeOrders();
  Start({"--", "bash", "-c",
         "(exec >&- 2>&-; exec sleep 1000) & echo $!; exit 4"});
  const std::string daemon = out_.Next();
  // Amid its exec it is nobody's.
  EXPECT_TRUE(WaitForName(std::atoi(daemon.c_str()), "sleep"));
  EXPECT_EQ(WaitForState(std::atoi(daemon.c_str()), 'S'), 'S');
  EXPECT_EQ(pager_.Find(kStarted), kStarted);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) {
    kill(pid_, signal);
    EXPECT_TRUE(WaitForSignal(pid_, signal));
  }
  Order("ready");
  EXPECT_EQ(pager_.Next(), "listen");
  EXPECT_NE(pager_.Find(daemon), "(nothing)");
  EXPECT_EQ(pager_.Find("bye"), "bye");
  EXPECT_EQ(WEXITSTATUS(Wait()), 4);
  EXPECT_EQ(kill(std::atoi(daemon.c_str()), 0), 0);
  kill(std::atoi(daemon.c_str()), SIGTERM);
  EXPECT_EQ(pager_.Find("all gone"), "all gone");
}

TEST_F(SupervisorTest, ADaemonEndsWhereNoPagerCanBeHad) {
  TakeOrders();
  Start({"--", "bash", "-c", "sleep 1000 & echo $!"});
  const pid_t daemon = std::atoi(out_.Next().c_str());
  EXPECT_EQ(pager_.Find(kStarted), kStarted);
  Order("fail");
  EXPECT_EQ(WEXITSTATUS(Wait()), 1);
  EXPECT_TRUE(WaitForEnd(daemon));
}

TEST_F(SupervisorTest, ItStopsWithTheCommandOnceThePagerHasTheProcesses) {
  TakeOrders();
  const pid_t command = StartGrowing(kFewBytes);
  EXPECT_EQ(pager_.Find(kStarted), kStarted);
  kill(command, SIGTSTP);
  EXPECT_EQ(WaitForState(command, 'T'), 'T');
  EXPECT_TRUE(WaitForSignal(pid_, SIGCHLD));
  Order("ready");
  EXPECT_EQ(pager_.Next(), "listen");
  EXPECT_EQ(pager_.Next(), "process " + std::to_string(command));
  EXPECT_EQ(WaitForState(pid_, 'T'), 'T');
  int status = 0;
  ASSERT_EQ(waitpid(pid_, &status, WUNTRACED | WNOHANG), pid_);
  ASSERT_TRUE(WIFSTOPPED(status));
  EXPECT_EQ(WSTOPSIG(status), SIGTSTP);
  kill(pid_, SIGCONT);
  kill(command, SIGCONT);
  CloseInput();
  EXPECT_EQ(WEXITSTATUS(Wait()), 0);
}

// Else it would be stopped alone.
TEST_F(SupervisorTest, ItDoesNotStopWithACommandThatGoesOnMeanwhile) {
  TakeOrders();
  const pid_t command = StartGrowing();
  EXPECT_EQ(pager_.Find(kStarted), kStarted);
  kill(command, SIGTSTP);
  EXPECT_EQ(WaitForState(command, 'T'), 'T');
  EXPECT_TRUE(WaitForSignal(pid_, SIGCHLD));
  kill(command, SIGCONT);
  EXPECT_EQ(WaitForState(command, 'S'), 'S');
  Order("ready");
  EXPECT_EQ(pager_.Find("process").rfind("process", 0), 0U);
  CloseInput();
  EXPECT_EQ(WEXITSTATUS(Wait()), 0);
}

TEST_F(SupervisorTest, ManyProcessesAreHandedOver) {
  TakeOrders();
  Start({"--local-memory=64M", "--", "bash", "-c",
         "for i in $(seq 40); do sleep 1000 & done; " + Tool("TEST_PROGRAM") +
             " grow 40000000; kill $(jobs -p); wait; exit 6"});
  EXPECT_EQ(out_.Next(), "grown");
  EXPECT_EQ(pager_.Find(kStarted), kStarted);
  Order("ready");
  EXPECT_EQ(pager_.Next(), "listen");
  // More than the kernel takes at a time; all of them whether the pager has
  // accepted or been given them.
  for (int i = 0; i < 42; ++i) {
    const std::string line = pager_.Next();
    EXPECT_TRUE(line.starts_with("process") || line.starts_with("accepted"))
        << i << line;
  }
  CloseInput();
  EXPECT_EQ(WEXITSTATUS(Wait()), 6);
}

TEST_F(SupervisorTest, WhoDoesNotKnowTheSecretIsRefused) {
  for (const char* what :
       {"FAKE_PRELOAD_WRONG_SECRET", "FAKE_PRELOAD_WRONG_VERSION"}) {
    environment_[what] = "1";
    Start({"--", "sh", "-c", "read line"});
    const std::string line = error_.Next();
    EXPECT_NE(line.find("refused process"), std::string::npos) << line;
    CloseInput();
    Wait();
    environment_.erase(what);
  }
}

}  // namespace
}  // namespace farswap::launcher

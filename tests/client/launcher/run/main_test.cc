// farswap-run from outside: what it refuses, what the command gets, how it
// ends.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "tests/client/launcher/run/run_fixture.h"

namespace farswap::launcher {
namespace {

class MainTest : public RunTest {
 protected:
  // Refused by one line, before the command could say anything.
  void ExpectRefused(const std::vector<std::string>& arguments, int exit,
                     const std::string& part) {
    const int status = RunToEnd(arguments);
    EXPECT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), exit);
    const std::string line = error_.Next();
    EXPECT_EQ(line.rfind("farswap-run: ", 0), 0U) << line;
    EXPECT_NE(line.find(part), std::string::npos) << line;
    EXPECT_EQ(error_.Next(), "(end)");
    EXPECT_EQ(out_.Next(), "(end)");
  }

  std::string Script(const std::string& name, const std::string& text,
                     mode_t mode) {
    std::ofstream(Path(name)) << text;
    chmod(Path(name).c_str(), mode);
    return Path(name);
  }
};

TEST_F(MainTest, EndsWithTheStatusOfTheCommand) {
  for (const int exit : {0, 1, 7, 255}) {
    const int status =
        RunToEnd({"--", "sh", "-c", "exit " + std::to_string(exit)});
    EXPECT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), exit);
    EXPECT_EQ(error_.Rest(), "");
  }
}

TEST_F(MainTest, DiesOfTheSignalOfTheCommandWithoutACoreOfItsOwn) {
  for (const int signal : {SIGKILL, SIGTERM, SIGSEGV, SIGINT, SIGRTMIN}) {
    const int status = RunToEnd(
        {"sh", "-c", "ulimit -c 0; kill -" + std::to_string(signal) + " $$"});
    EXPECT_TRUE(WIFSIGNALED(status)) << signal;
    EXPECT_EQ(WTERMSIG(status), signal);
    EXPECT_FALSE(WCOREDUMP(status));
  }
}

TEST_F(MainTest, WhatCannotBeExecutedEndsAsForAShell) {
  ExpectRefused({"--", "no-such-program"}, 127, "no-such-program: not found");
  ExpectRefused({"--", Path("none")}, 127, "not found");
  ExpectRefused({"--", ""}, 127, "not found");
  ExpectRefused({"--", "/tmp"}, 126, "directory");
  const std::string no_program = Script("plain", "exit 3\n", 0644);
  ExpectRefused({"--", no_program}, 126, "Permission denied");
  const std::string orphan = Script("orphan", "#!/no/such/shell\n", 0755);
  ExpectRefused({"--", orphan}, 127, "No such file");
}

TEST_F(MainTest, AFileWithoutAFirstLineIsAScriptOfTheShell) {
  const std::string path = Script("script", "echo \"$1\"; exit 3\n", 0755);
  const int status = RunToEnd({"--", path, "an argument"});
  EXPECT_EQ(WEXITSTATUS(status), 3);
  EXPECT_EQ(out_.Next(), "an argument");
}

TEST_F(MainTest, MissingPartsAreNamedBeforeAnythingStarts) {
  environment_["FARSWAP_PRELOAD"] = Path("none.so");
  ExpectRefused({"--", "echo", "started"}, 2, "name libfarswap-preload.so");
  environment_["FARSWAP_PRELOAD"] = Script("a b.so", "", 0644);
  ExpectRefused({"--", "echo", "started"}, 2, "folder without");
  environment_["FARSWAP_PRELOAD"] = Tool("TEST_PRELOAD");
  environment_["FARSWAP_PAGER"] = Script("pager", "", 0644);
  ExpectRefused({"--", "echo", "started"}, 2, "name farswap-pager");
}

TEST_F(MainTest, ItTakesThePrivilegeToPage) {
  const auto drop = [] { prctl(PR_CAPBSET_DROP, CAP_SYS_PTRACE); };
  const int status = RunToEnd({"--", "echo", "started"}, drop);
  EXPECT_EQ(WEXITSTATUS(status), 2);
  EXPECT_NE(error_.Next().find("CAP_SYS_PTRACE"), std::string::npos);
  EXPECT_EQ(error_.Next(), "(end)");
  EXPECT_EQ(out_.Next(), "(end)");
}

TEST_F(MainTest, WrongOptionsStartNothing) {
  ExpectRefused({"--local-memory=15M", "--", "echo", "started"}, 2, "16MiB");
  ExpectRefused({"--bad", "--", "echo", "started"}, 2, "unknown option --bad");
  ExpectRefused({}, 2, "no COMMAND given");
}

TEST_F(MainTest, TheCommandInheritsDescriptorsAndNoneOfOurs) {
  const int extra = open("/dev/null", O_RDONLY);
  ASSERT_EQ(dup2(extra, 17), 17);
  // What it inherits without farswap-run.
  const std::string program = Tool("TEST_PROGRAM");
  RunToEnd({"--", "env", "-u", "FARSWAP_RUN", program, "report"});
  const std::string seen = out_.Next();
  const std::string direct = "env -u X " + program + " report | head -n 1";
  FILE* pipe = popen(direct.c_str(), "r");  // NOLINT(cert-env33-c): a test.
  char line[4096] = {};
  ASSERT_NE(fgets(line, sizeof(line), pipe), nullptr);
  pclose(pipe);
  close(17);
  close(extra);
  EXPECT_EQ(seen + "\n", line);
  EXPECT_NE(seen.find(" 17"), std::string::npos);
}

TEST_F(MainTest, ClosedStreamsStayClosedForTheCommand) {
  const auto close_all = [] {
    close(0);
    close(1);
  };
  RunToEnd({"--", Tool("TEST_PROGRAM"), "fds"}, close_all);
  const std::string fds = error_.Next();
  EXPECT_EQ(fds.rfind("fds 2", 0), 0U) << fds;
}

TEST_F(MainTest, APipeEndsWhenTheCommandLetsGoOfIt) {
  Start({"--", "sh", "-c", "echo here; exec >&-; read line; exit 4"});
  EXPECT_EQ(out_.Next(), "here");
  EXPECT_EQ(out_.Next(), "(end)");
  CloseInput();
  EXPECT_EQ(WEXITSTATUS(Wait()), 4);
}

TEST_F(MainTest, MaskAndIgnoredSignalsAreTheOnesItWasStartedWith) {
  const auto prepare = [] {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_SETMASK, &set, nullptr);
    signal(SIGHUP, SIG_IGN);
    signal(SIGCHLD, SIG_IGN);
  };
  EXPECT_EQ(RunToEnd({"--", Tool("TEST_PROGRAM"), "report"}, prepare), 0);
  const std::string report = out_.Rest();
  EXPECT_NE(report.find("blocked 12\n"), std::string::npos) << report;
  EXPECT_EQ(report.find("blocked 15\n"), std::string::npos) << report;
  EXPECT_NE(report.find("ignored 1\n"), std::string::npos) << report;
  EXPECT_NE(report.find("ignored 17\n"), std::string::npos) << report;
  EXPECT_EQ(report.find("ignored 15\n"), std::string::npos) << report;
}

TEST_F(MainTest, TheLibraryComesBeforeOthersInLdPreload) {
  // Without the links of a test's folder.
  const std::string preload = std::filesystem::canonical(Tool("TEST_PRELOAD"));
  RunToEnd({"--", "sh", "-c", "echo $LD_PRELOAD; echo $FARSWAP_RUN"});
  EXPECT_EQ(out_.Next(), preload);
  const std::string variable = out_.Next();
  EXPECT_EQ(variable.find(':') + 1 + 32, variable.size()) << variable;
  // Of the program's own; the fixture's process does not load it.
  environment_["LD_PRELOAD"] = "libpthread.so.0";
  RunToEnd({"--", "sh", "-c", "echo $LD_PRELOAD"});
  EXPECT_EQ(out_.Next(), preload + ":libpthread.so.0");
}

TEST_F(MainTest, StaysInTheProcessGroupAndSession) {
  RunToEnd({"--", "sh", "-c", "cut -d' ' -f5,6 /proc/$$/stat"});
  EXPECT_EQ(out_.Next(),
            std::to_string(getpgrp()) + " " + std::to_string(getsid(0)));
}

}  // namespace
}  // namespace farswap::launcher

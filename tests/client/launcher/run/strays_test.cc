// Programs whose memory stays local are named, or ended.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>

#include "client/launcher/run/fd.h"
#include "tests/client/launcher/run/run_fixture.h"

namespace farswap::launcher {
namespace {

class StraysTest : public RunTest {
 protected:
  const std::string static_ = Tool("TEST_STATIC_PROGRAM");

  std::string FirstLine(const std::string& script, bool strict) {
    std::vector<std::string> arguments = {"--", "bash", "-c", script};
    if (strict) arguments.insert(arguments.begin(), "--strict");
    Start(arguments);
    return error_.Next();
  }
};

TEST_F(StraysTest, AStaticCommandIsNamedOnceAndRun) {
  Start({"--", static_, "static"});
  EXPECT_EQ(error_.Next(),
            "farswap-run: " + static_ + " is static: its memory stays local");
  EXPECT_EQ(out_.Next(), "static");
  CloseInput();
  EXPECT_EQ(Wait(), 0);
  EXPECT_EQ(error_.Rest(), "");
}

TEST_F(StraysTest, ASetuidCommandIsNamed) {
  std::filesystem::copy_file("/bin/true", Path("setuid"));
  ASSERT_EQ(chown(Path("setuid").c_str(), 65534, 0), 0);
  ASSERT_EQ(chmod(Path("setuid").c_str(), 04755), 0);
  EXPECT_EQ(RunToEnd({"--", Path("setuid")}), 0);
  EXPECT_NE(error_.Next().find("is setuid"), std::string::npos);
}

TEST_F(StraysTest, StrictDoesNotStartSuchACommand) {
  std::ofstream(Path("script")) << "#!" << static_ << " static\n";
  ASSERT_EQ(chmod(Path("script").c_str(), 0755), 0);
  for (const std::string& command : {static_, Path("script")}) {
    EXPECT_EQ(WEXITSTATUS(RunToEnd({"--strict", "--", command, "static"})), 2);
    EXPECT_NE(error_.Next().find("is static"), std::string::npos);
    EXPECT_EQ(out_.Next(), "(end)");
  }
}

TEST_F(StraysTest, AStaticProgramOfTheTreeIsNamedOnce) {
  const std::string line = FirstLine(static_ + " static; exit 3", false);
  EXPECT_NE(line.find(" is static: its memory stays local"), std::string::npos)
      << line;
  CloseInput();
  EXPECT_EQ(WEXITSTATUS(Wait()), 3);
  EXPECT_EQ(error_.Rest(), "");
}

TEST_F(StraysTest, ACommandThatBecomesStaticIsNamed) {
  const std::string line = FirstLine("exec " + static_ + " static", false);
  EXPECT_NE(line.find(" is static"), std::string::npos) << line;
}

TEST_F(StraysTest, StrictEndsAStaticProgramOfTheTree) {
  const std::string line = FirstLine(static_ + " static; exit $?", true);
  EXPECT_NE(line.find(" is static: ended, for --strict"), std::string::npos)
      << line;
  EXPECT_EQ(WEXITSTATUS(Wait()), 128 + SIGKILL);
}

TEST_F(StraysTest, AnEmptiedEnvironmentIsNamed) {
  const std::string line =
      FirstLine("env -i /bin/sh -c 'read line'; exit 3", false);
  EXPECT_NE(line.find(" was started without our LD_PRELOAD"), std::string::npos)
      << line;
  CloseInput();
  EXPECT_EQ(WEXITSTATUS(Wait()), 3);
}

TEST_F(StraysTest, ThoseThatReportedToThePagerAreNone) {
  Start({"--local-memory=64M", "--", "bash", "-c",
         Tool("TEST_PROGRAM") + " grow 40000000 <&0 & sleep 1000 & " + static_ +
             " static; kill %2"});
  EXPECT_NE(pager_.Find("listen"), "(nothing)");
  // It takes two looks to find that, at the others, too.
  const std::string line = error_.Next();
  EXPECT_NE(line.find(" is static: "), std::string::npos) << line;
  CloseInput();
  Wait();
  EXPECT_EQ(error_.Rest(), "");
}

TEST_F(StraysTest, AStaticDaemonKeepsNoPager) {
  std::ofstream(Path("pager")) << "#!/no/such/interpreter\n";
  ASSERT_EQ(chmod(Path("pager").c_str(), 0755), 0);
  environment_["FARSWAP_PAGER"] = Path("pager");
  ASSERT_EQ(mkfifo(Path("input").c_str(), 0600), 0);
  const Fd input(open(Path("input").c_str(), O_RDWR | O_CLOEXEC));
  Start({"--", "bash", "-c",
         static_ + " static <" + Path("input") + " 2>&- & read line; exit 3"});
  EXPECT_EQ(out_.Next(), "static");
  CloseInput();
  EXPECT_EQ(WEXITSTATUS(Wait()), 3);
}

}  // namespace
}  // namespace farswap::launcher

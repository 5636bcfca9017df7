// Which signals reach the command, and what its stops do.
#include "client/launcher/run/command.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <string>
#include <utility>

#include "client/launcher/run/fd.h"
#include "tests/client/launcher/run/run_fixture.h"

namespace farswap::launcher {
namespace {

// A shell that says which signals it gets; SIGUSR2 ends it. It does not wait in
// one command for long: a signal that comes right before is told after that.
constexpr char kListens[] =
    "for s in HUP INT QUIT TERM USR1 ALRM; do trap \"echo $s\" $s; done;"
    "trap 'echo end; exit 5' USR2; echo $$; while :; do sleep 0.02; done";

class CommandTest : public RunTest {
 protected:
  // Returns the command's pid.
  pid_t Listen() {
    Start({"--", "bash", "-c", kListens});
    return std::atoi(out_.Next().c_str());
  }
};

TEST_F(CommandTest, SignalsFromOutsideArePassedOn) {
  Listen();
  for (const auto& [signal, name] :
       {std::pair{SIGHUP, "HUP"}, std::pair{SIGINT, "INT"},
        std::pair{SIGTERM, "TERM"}, std::pair{SIGUSR1, "USR1"},
        std::pair{SIGALRM, "ALRM"}}) {
    ASSERT_EQ(kill(pid_, signal), 0);
    EXPECT_EQ(out_.Next(), name);
  }
  kill(pid_, SIGUSR2);
  EXPECT_EQ(out_.Next(), "end");
  EXPECT_EQ(WEXITSTATUS(Wait()), 5);
}

TEST_F(CommandTest, ATerminationThatTheCommandDoesNotCatchEndsBoth) {
  Start({"--", "sh", "-c", "echo here; read line"});
  EXPECT_EQ(out_.Next(), "here");
  kill(pid_, SIGTERM);
  const int status = Wait();
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGTERM);
}

TEST_F(CommandTest, WhatTheProgramsSendThemselvesIsNotPassedOn) {
  // To the group, of which both are: it comes once.
  Start({"--", "bash", "-c",
         "trap 'n=$((n+1))' TERM; trap 'echo after' RTMIN; kill 0; echo sent; "
         "read line; echo $n"},
        [] { setpgid(0, 0); });
  EXPECT_EQ(out_.Next(), "sent");
  // It has a higher number, so it is passed on later.
  kill(pid_, SIGRTMIN);
  EXPECT_EQ(out_.Next(), "after");
  CloseInput();
  EXPECT_EQ(out_.Next(), "1");
  EXPECT_EQ(WEXITSTATUS(Wait()), 0);
}

TEST_F(CommandTest, StopsAndGoesOnWithTheCommand) {
  const pid_t command = Listen();
  for (const int signal : {SIGTSTP, SIGSTOP, SIGTTIN}) {
    kill(command, signal);
    int status = 0;
    ASSERT_EQ(waitpid(pid_, &status, WUNTRACED), pid_);
    ASSERT_TRUE(WIFSTOPPED(status));
    EXPECT_EQ(WSTOPSIG(status), signal);
    EXPECT_EQ(WaitForState(command, 'T'), 'T');
    kill(pid_, SIGCONT);
    kill(pid_, SIGUSR1);
    EXPECT_EQ(out_.Next(), "USR1");
  }
  kill(pid_, SIGUSR2);
  EXPECT_EQ(WEXITSTATUS(Wait()), 5);
}

TEST_F(CommandTest, AStopThatIsSentToUsStopsTheCommand) {
  const pid_t command = Listen();
  kill(pid_, SIGTSTP);
  int status = 0;
  ASSERT_EQ(waitpid(pid_, &status, WUNTRACED), pid_);
  ASSERT_TRUE(WIFSTOPPED(status));
  EXPECT_EQ(WaitForState(command, 'T'), 'T');
  kill(pid_, SIGCONT);
  kill(pid_, SIGUSR2);
  EXPECT_EQ(out_.Next(), "end");
}

// At a terminal, whose foreground group we and the command are.
class TerminalTest : public CommandTest {
 protected:
  void StartThere(const std::string& script) {
    int terminal = -1;
    int program_side = -1;
    ASSERT_EQ(openpty(&terminal, &program_side, nullptr, nullptr, nullptr), 0);
    terminal_ = Fd(terminal);
    fcntl(terminal, F_SETFD, FD_CLOEXEC);
    fcntl(program_side, F_SETFD, FD_CLOEXEC);
    Start({"--", "bash", "-c", script}, [program_side] {
      setsid();
      ioctl(program_side, TIOCSCTTY, 0);
      dup2(program_side, STDIN_FILENO);
    });
    close(program_side);
  }

  void Press(char key) { EXPECT_EQ(write(terminal_.get(), &key, 1), 1); }

  Fd terminal_;
};

TEST_F(TerminalTest, AnInterruptReachesTheCommandOnce) {
  StartThere(
      "trap 'n=$((n+1))' INT; trap 'echo after' RTMIN; echo here; "
      "while [[ -z $n ]]; do read -t 0.01 x; done; echo got; "
      "read x; echo $n");
  EXPECT_EQ(out_.Next(), "here");
  Press('C' - '@');
  EXPECT_EQ(out_.Next(), "got");
  kill(pid_, SIGRTMIN);
  EXPECT_EQ(out_.Next(), "after");
  Press('\n');
  EXPECT_EQ(out_.Next(), "1");
  EXPECT_EQ(WEXITSTATUS(Wait()), 0);
}

TEST_F(TerminalTest, AnInterruptThatTheCommandDoesNotCatchEndsBoth) {
  StartThere("echo here; read x");
  EXPECT_EQ(out_.Next(), "here");
  Press('C' - '@');
  const int status = Wait();
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGINT);
}

TEST_F(TerminalTest, AHangupReachesTheCommand) {
  StartThere(
      "trap 'echo hangup; exit 8' HUP; echo here; while :; do read -t 1 "
      "x || [[ $? -gt 128 ]] || sleep 0.01; done");
  EXPECT_EQ(out_.Next(), "here");
  terminal_.Reset();
  EXPECT_EQ(out_.Next(), "hangup");
  EXPECT_EQ(WEXITSTATUS(Wait()), 8);
}

signalfd_siginfo Signal(int signal, int code, pid_t sender) {
  signalfd_siginfo info{};
  info.ssi_signo = static_cast<uint32_t>(signal);
  info.ssi_code = code;
  info.ssi_pid = static_cast<uint32_t>(sender);
  return info;
}

TEST(IsForCommandTest, NotWhatComesOfTheTerminalOrOfOurselves) {
  for (const int signal : {SIGINT, SIGQUIT, SIGTSTP, SIGWINCH}) {
    EXPECT_FALSE(IsForCommand(Signal(signal, SI_KERNEL, 0)));
    EXPECT_TRUE(IsForCommand(Signal(signal, SI_USER, getppid())));
  }
  EXPECT_FALSE(IsForCommand(Signal(SIGCHLD, SI_USER, getppid())));
  EXPECT_FALSE(IsForCommand(Signal(SIGPIPE, SI_USER, getpid())));
  EXPECT_TRUE(IsForCommand(Signal(SIGALRM, SI_KERNEL, 0)));
  // From outside of this pid namespace.
  EXPECT_TRUE(IsForCommand(Signal(SIGTERM, SI_USER, 0)));
}

TEST(ExitOfExecErrorTest, IsAShells) {
  EXPECT_EQ(ExitOfExecError(ENOENT), 127);
  EXPECT_EQ(ExitOfExecError(EACCES), 126);
  EXPECT_EQ(ExitOfExecError(E2BIG), 126);
}

}  // namespace
}  // namespace farswap::launcher

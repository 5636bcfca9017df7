#include <errno.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "client/launcher/process_wire.h"
#include "tests/client/launcher/preload/peer.h"
#include "tests/client/launcher/preload/program.h"

namespace farswap::launcher {
namespace {

constexpr char kNobodyListens[] =
    "farswap-nobody-listens:000102030405060708090a0b0c0d0e0f";

// As a sandbox around the program: one system call is refused.
void Forbid(uint32_t call, uint32_t action) {
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, action),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{4, filter};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
    _exit(126);
  }
}

class PreloadRefused : public testing::Test {
 protected:
  static void SetUpTestSuite() { (void)signal(SIGPIPE, SIG_IGN); }
  Listener listener_;
};

TEST_F(PreloadRefused, AnUnreachablePagerIsSaidAndTheProgramRuns) {
  Program guest({GuestPath()}, kNobodyListens);
  EXPECT_EQ(guest.Ask("ping"), "pong");
  EXPECT_EQ(Threads(guest.pid()).size(), 1U);
  guest.Say("exit");
  EXPECT_EQ(guest.Code(), 7);
  EXPECT_EQ(guest.Errors(),
            "farswap: cannot reach the pager that FARSWAP_RUN names, so this "
            "program runs without far memory; unset it, or start the program "
            "by farswap-run (errno 111)\n");
}

TEST_F(PreloadRefused, AWrongVariableIsSaidAndTheProgramRuns) {
  for (const char* run :
       {"name", "name:12", ":000102030405060708090a0b0c0d0e0f",
        "name:000102030405060708090a0b0c0d0e0g"}) {
    Program program({"/bin/true"}, run);
    EXPECT_EQ(program.Code(), 0);
    EXPECT_TRUE(Has(program.Errors(), "FARSWAP_RUN is not NAME:SECRET"));
  }
}

// Another user may listen by the name of a supervisor that has ended.
TEST_F(PreloadRefused, APagerOfAnotherUserIsNotTrusted) {
  if (geteuid() != 0) GTEST_SKIP() << "not root";
  ASSERT_EQ(seteuid(65534), 0);
  const Listener foreign;
  ASSERT_EQ(seteuid(0), 0);
  Program program({"/bin/true"}, foreign.run());
  EXPECT_EQ(program.Code(), 0);
  EXPECT_TRUE(Has(program.Errors(), "(errno 1)"));
}

TEST_F(PreloadRefused, WhatASandboxForbidsIsSaidAndTheProgramRuns) {
  for (const uint32_t call : {SYS_clone, SYS_close_range, SYS_socket}) {
    Program program(Shell("exit 7"), listener_.run(),
                    [&] { Forbid(call, SECCOMP_RET_ERRNO | EPERM); });
    EXPECT_EQ(program.Code(), 7);
    EXPECT_TRUE(Has(program.Errors(), "(errno 1)")) << call;
  }
}

// It receives without a look, and the watcher gives up.
TEST_F(PreloadRefused, WithoutPollAPagerIsServedAndItsEndIsSeen) {
  Program guest({GuestPath()}, listener_.run(),
                [] { Forbid(SYS_poll, SECCOMP_RET_ERRNO | EPERM); });
  const auto peer = listener_.Accept();
  ASSERT_NE(peer, nullptr);
  const int uffd = peer->MakeUffd();
  EXPECT_GE(uffd, 0);
  EXPECT_EQ(peer->Ask(Op::kPing), 0);
  peer->Close();
  EXPECT_EQ(guest.Code(), -SIGKILL);
  close(uffd);
}

TEST_F(PreloadRefused, AMoverThatASandboxEndsIsMissed) {
  Program guest({GuestPath()}, listener_.run(),
                [] { Forbid(SYS_connect, SECCOMP_RET_KILL_THREAD); });
  EXPECT_EQ(guest.Ask("ping"), "pong");
  guest.Say("exit");
  EXPECT_EQ(guest.Code(), 7);
  EXPECT_TRUE(Has(guest.Errors(), "(errno 3)"));
}

// A supervisor that does not accept is waited for 10 s.
TEST_F(PreloadRefused, AFullQueueIsGivenUp) {
  if (getenv("FARSWAP_TEST_LONG") == nullptr) GTEST_SKIP() << "10 s";
  const Listener full(0);
  Program first({"/bin/true"}, full.run());
  EXPECT_EQ(first.Code(), 0);
  Program second({"/bin/true"}, full.run());
  EXPECT_EQ(second.Code(), 0);
  EXPECT_TRUE(Has(second.Errors(), "(errno 11)"));
}

}  // namespace
}  // namespace farswap::launcher

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <memory>
#include <string>

#include "client/launcher/process_wire.h"
#include "tests/client/launcher/preload/paged_guest.h"
#include "tests/client/launcher/preload/peer.h"
#include "tests/client/launcher/preload/program.h"
#include "tests/client/runtime/privilege.h"

namespace farswap::launcher {
namespace {

bool IsWritable(int fd) {
  pollfd ready{fd, POLLOUT, 0};
  return poll(&ready, 1, 0) == 1;
}

// A process that takes all of a guest's memory out, says so, and stays.
class Supervisor {
 public:
  Supervisor(Listener* listener, uint64_t memory) {
    if (pipe(ready_) != 0) abort();
    pid_ = fork();
    if (pid_ == 0) Serve(*listener, memory);
    close(ready_[1]);
    listener->Close();
  }
  ~Supervisor() { Kill(); }
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  bool IsReady() const {
    char c = 0;
    return read(ready_[0], &c, 1) == 1;
  }

  void Kill() {
    if (pid_ < 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    close(ready_[0]);
    pid_ = -1;
  }

 private:
  [[noreturn]] void Serve(const Listener& listener, uint64_t memory) const {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const auto peer = listener.Accept();
    if (peer == nullptr || !TakeOut(*peer, memory)) _exit(1);
    (void)!write(ready_[1], "r", 1);
    for (;;) pause();
  }

  static bool TakeOut(const Peer& peer, uint64_t memory) {
    const int uffd = peer.MakeUffd();
    const uint64_t transit = peer.hello().transit;
    return uffd >= 0 && Register(uffd, peer.hello().tag_page, kPage) &&
           Register(uffd, transit, kTransitBytes) &&
           Register(uffd, memory, kGuestPages * kPage) &&
           peer.Ask(Op::kMove, transit, memory, kGuestPages * kPage) == 0;
  }

  pid_t pid_ = -1;
  int ready_[2] = {-1, -1};
};

void ExpectNoZeros(bool read_first) {
  Listener listener;
  Program guest({GuestPath()}, listener.run());
  const uint64_t memory = std::stoull(guest.Ask("memory"));
  Supervisor supervisor(&listener, memory);
  ASSERT_TRUE(supervisor.IsReady());
  if (read_first) guest.Say("peek");
  supervisor.Kill();
  if (!read_first) guest.Say("peek");
  EXPECT_EQ(guest.Wait(), SIGKILL);
  EXPECT_EQ(guest.Line(), "");  // No word was wrong.
}

TEST(Ending, NothingOfAPagerThatWasKilledReadsAsZeros) {
  if (!HasForkEvents()) GTEST_SKIP() << "no CAP_SYS_PTRACE";
  (void)signal(SIGPIPE, SIG_IGN);
  for (int round = 0; round < 50; ++round) {
    ExpectNoZeros(round % 2 == 0);
    if (testing::Test::HasFailure()) return;
  }
}

// Its reader is slow, or never reads: the line is not worth waiting for.
TEST(Ending, AFullStderrDoesNotHinder) {
  Listener listener;
  Program guest({GuestPath()}, listener.run(), [] {
    char page[4096] = {};
    while (IsWritable(2)) (void)!write(2, page, sizeof(page));
  });
  auto peer = listener.Accept();
  ASSERT_NE(peer, nullptr);
  peer->Close();
  EXPECT_EQ(guest.Wait(), SIGKILL);
}

}  // namespace
}  // namespace farswap::launcher

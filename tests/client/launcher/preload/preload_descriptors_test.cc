#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <iterator>
#include <string>

#include "tests/client/launcher/preload/peer.h"
#include "tests/client/launcher/preload/program.h"

namespace farswap::launcher {
namespace {

class PreloadDescriptors : public testing::Test {
 protected:
  static void SetUpTestSuite() { (void)signal(SIGPIPE, SIG_IGN); }
  Listener listener_;
};

TEST_F(PreloadDescriptors, TheProgramsDescriptorsAreAsBefore) {
  Program guest({GuestPath()}, listener_.run());
  ASSERT_EQ(guest.Ask("ping"), "pong");
  const std::filesystem::directory_iterator fds(
      "/proc/" + std::to_string(guest.pid()) + "/fd");
  EXPECT_EQ(std::distance(begin(fds), end(fds)), 3);
}

TEST_F(PreloadDescriptors, KeepsNoPipeOpen) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  Program guest({GuestPath()}, listener_.run(), [&] { dup2(ends[1], 9); });
  close(ends[1]);
  ASSERT_EQ(guest.Ask("close"), "0");
  pollfd end{ends[0], POLLIN, 0};
  EXPECT_EQ(poll(&end, 1, 20000), 1);
  EXPECT_EQ(end.revents, POLLHUP);
  EXPECT_EQ(guest.Ask("ping"), "pong");
  close(ends[0]);
}

TEST_F(PreloadDescriptors, ClosedStreamsStayClosed) {
  Program program(Shell("test ! -e /proc/$$/fd/0 && test ! -e /proc/$$/fd/1"),
                  listener_.run(), [] {
                    close(0);
                    close(1);
                    close(2);
                  });
  const auto peer = listener_.Accept();
  EXPECT_NE(peer, nullptr);
  EXPECT_EQ(program.Code(), 0);
}

TEST_F(PreloadDescriptors, FourDescriptorsAreEnough) {
  Program guest({GuestPath()}, listener_.run(), [] {
    const rlimit low{4, 4};
    setrlimit(RLIMIT_NOFILE, &low);
  });
  const auto peer = listener_.Accept();
  ASSERT_NE(peer, nullptr);
  const int uffd = peer->MakeUffd();
  EXPECT_GE(uffd, 0);
  close(uffd);
}

}  // namespace
}  // namespace farswap::launcher

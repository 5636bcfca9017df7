// What the supervisor knows of a process whose mover has gone.
#include "client/launcher/pager/process.h"

#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <thread>

#include "client/launcher/process_wire.h"
#include "client/pager/own_fd.h"
#include "gtest/gtest.h"

namespace farswap::launcher {
namespace {

constexpr std::chrono::milliseconds kNow{0};

class ProcessTest : public testing::Test {
 protected:
  void SetUp() override {
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends), 0);
    mover_ = pager::OwnFd(ends[0]);
    process_ =
        std::make_unique<Process>(getpid(), Hello(), pager::OwnFd(ends[1]));
  }

  pager::OwnFd mover_;
  std::unique_ptr<Process> process_;
};

TEST_F(ProcessTest, HasNotLeftWhileItsMoverIsThere) {
  EXPECT_FALSE(process_->HasLeft(kNow));
  EXPECT_TRUE(process_->AskForUffd(STDIN_FILENO).ok());
  const Reply reply;
  ASSERT_EQ(send(mover_.get(), &reply, sizeof(reply), 0), sizeof(reply));
  EXPECT_FALSE(process_->HasLeft(kNow));
}

// What is done by its number from then on is done to what it executes.
TEST_F(ProcessTest, HasLeftWhenItExecutesAnother) {
  mover_.Reset();
  EXPECT_FALSE(process_->AskForUffd(STDIN_FILENO).ok());
  EXPECT_TRUE(process_->HasLeft(kNow));
}

// Its threads end one after the other.
TEST_F(ProcessTest, HasLeftWhenTheLastOfItsThreadsHas) {
  std::thread last([this] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    mover_.Reset();
  });
  EXPECT_TRUE(process_->HasLeft(std::chrono::seconds(10)));
  last.join();
}

// Its answer came first, and is not read yet.
TEST_F(ProcessTest, HasLeftWithAnAnswer) {
  const Reply reply;
  ASSERT_EQ(send(mover_.get(), &reply, sizeof(reply), 0), sizeof(reply));
  mover_.Reset();
  EXPECT_TRUE(process_->HasLeft(kNow));
}

}  // namespace
}  // namespace farswap::launcher

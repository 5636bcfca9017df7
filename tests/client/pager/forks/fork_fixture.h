// Programs with far memory that fork, and what a child may say: as a child of a
// test has one thread and must not return, it reports by its exit status.
#ifndef FARSWAP_TESTS_CLIENT_PAGER_FORKS_FORK_FIXTURE_H_
#define FARSWAP_TESTS_CLIENT_PAGER_FORKS_FORK_FIXTURE_H_

#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <functional>

#include "tests/client/pager/forks/fork_pager.h"
#include "tests/client/pager/map_fixture.h"
#include "tests/client/runtime/privilege.h"

namespace farswap::pager {

inline constexpr uint64_t kBytes = 32 * kMiB;
inline constexpr uint64_t kPages = kBytes / kPageBytes;

// A pipe that one process waits at for the other.
class Signal {
 public:
  Signal() { EXPECT_EQ(pipe(fds_), 0); }
  ~Signal() {
    close(fds_[0]);
    close(fds_[1]);
  }
  void Give() { EXPECT_EQ(write(fds_[1], "x", 1), 1); }
  void Take() {
    char byte;
    EXPECT_EQ(read(fds_[0], &byte, 1), 1);
  }

 private:
  int fds_[2] = {};
};

class ForkFixture : public MapFixture {
 protected:
  void SetUp() override {
    if (!HasForkEvents()) {
      GTEST_SKIP() << "NOT TESTED: no privilege to be told of forks; run as "
                      "root, outside of a user namespace";
    }
  }
  // Runs `body` in a child; its result is the exit status.
  pid_t Fork(const std::function<int()>& body, const Around& around = {}) {
    const pid_t child = ForkPager(pager_.get(), around);
    if (child != 0) return child;
    _exit(body());
  }
  // A region of kBytes, filled, all of it remote.
  char* Remote(std::chrono::milliseconds deadline = std::chrono::seconds(30),
               FailPolicy policy = FailPolicy::kPoison) {
    Start(8 * kMiB, 1024, deadline);
    char* const at = AddRegion(kBytes, /*huge=*/true, policy);
    Fill(at, 0, kPages);
    PushOut(regions_.back());
    return at;
  }
  static int StatusOf(pid_t child) {
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }
  // How many of the pages are not what they should be, at most 100.
  static int Wrong(const char* at, uint64_t first, uint64_t count,
                   uint64_t salt = 0) {
    int wrong = 0;
    for (uint64_t p = first; p < first + count && wrong < 100; ++p) {
      wrong += PageIs(at + p * kPageBytes, p + salt) ? 0 : 1;
    }
    return wrong;
  }
  static bool IsZeroPage(const char* at) {
    static const char zeros[kPageBytes] = {};
    return std::memcmp(at, zeros, kPageBytes) == 0;
  }
  void EndPager() {
    while (!regions_.empty()) {
      ASSERT_TRUE(pager_->DestroyRegion(regions_.back()).ok());
      regions_.pop_back();
    }
    pager_.reset();
  }
  bool EventuallyNoChild() {
    return Eventually([&] { return pager_->Stats().forked_children == 0; });
  }
};

}  // namespace farswap::pager

#endif  // FARSWAP_TESTS_CLIENT_PAGER_FORKS_FORK_FIXTURE_H_

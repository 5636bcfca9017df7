// Children that are refused, given up, or come to an end with their pager: what
// they have not got raises SIGBUS, and is never zeros.
//
// What each was broken by to see it fail stands beside it.
#include "client/pager/forks/forks.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "tests/client/pager/forks/fork_fixture.h"

namespace farswap::pager {
namespace {

class ForksTest : public ForkFixture {
 protected:
  // All but the first page is remote.
  char* MostlyRemote() {
    char* const at = Remote();
    FillPage(at, 4711);
    return at;
  }
  // What a child says that is refused.
  static int OnlyLocalIsReadable(const char* at) {
    if (!PageIs(at, 4711)) return 101;
    for (uint64_t p = kPagesPerPmd; p < kPages; p += 100) {
      if (IsReadable(at + p * kPageBytes)) return 102;
    }
    return 0;
  }
};

// A raw clone, and a child's child, have nobody who would end them with the
// pager: what they have not got is SIGBUS, never zeros.
TEST_F(ForksTest, AForkThatNobodyPreparedHasSigbusForWhatIsRemote) {
  char* const at = MostlyRemote();
  const auto raw = static_cast<pid_t>(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
  if (raw == 0) _exit(OnlyLocalIsReadable(at));
  EXPECT_EQ(StatusOf(raw), 0);
  const pid_t child = Fork([&] {
    const pid_t its = fork();
    if (its == 0) _exit(OnlyLocalIsReadable(at));
    return StatusOf(its);
  });
  EXPECT_EQ(StatusOf(child), 0);
  EXPECT_EQ(pager_->Stats().forks_refused, 2u);
  ExpectFilled(at, 1, kPages - 1);
}

TEST_F(ForksTest, WhenThePagerEndsFirstAChildHasSigbusAndLives) {
  char* const at = Remote();
  Signal read;
  Signal ended;
  const pid_t child = Fork([&] {
    if (Wrong(at, 0, 10) != 0) return 101;
    read.Give();
    ended.Take();
    if (Wrong(at, 0, 10) != 0) return 102;
    return IsReadable(at + (kPages - 1) * kPageBytes) ? 103 : 0;
  });
  read.Take();
  EndPager();
  ended.Give();
  EXPECT_EQ(StatusOf(child), 0);
}

// Of a child that moves what is remote while nobody serves it any more.
TEST_F(ForksTest, WhatAChildMovesWhileThePagerEndsIsNeverZeros) {
  for (int round = 0; round < 2; ++round) {
    char* const at = Remote();
    Signal ready;
    Signal ended;
    const pid_t child = Fork([&] {
      std::atomic<bool> stop{false};
      char* now = at;
      std::thread mover([&] {
        for (bool first = true; !stop; first = false) {
          void* const room = mmap(nullptr, kBytes, PROT_NONE,
                                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
          now = static_cast<char*>(
              mremap(now, kBytes, kBytes, MREMAP_MAYMOVE | MREMAP_FIXED, room));
          if (first) ready.Give();
          // Else it is never out of the way of its poison, and is ended.
          usleep(100);
        }
      });
      ended.Take();
      stop = true;
      mover.join();
      for (uint64_t p = 0; p < kPages; ++p) {
        if (IsReadable(now + p * kPageBytes))
          return PageIs(now + p * kPageBytes, p) ? 101 : 102;
      }
      return 0;
    });
    ready.Take();
    EndPager();
    ended.Give();
    EXPECT_EQ(StatusOf(child), 0) << "round " << round;
  }
}

TEST_F(ForksTest, LostBytesAreSigbusInTheChildToo) {
  char* const at = Remote(std::chrono::seconds(2));
  Signal lost;
  const pid_t child = Fork([&] {
    lost.Take();
    int readable = 0;
    for (uint64_t p = 0; p < kPages; p += kPagesPerPmd) {
      readable += IsReadable(at + p * kPageBytes);
    }
    return readable;
  });
  transport_->LoseContents();
  lost.Give();
  EXPECT_EQ(StatusOf(child), 0);
  EXPECT_GT(pager_->Stats().pages_lost, 0u);
}

// By a socket that goes to whichever fork is applied first; by a reader that
// ends with the first fork that it reads.
TEST_F(ForksTest, ARawCloneAtTheSameTimeRefusesBoth) {
  char* const at = MostlyRemote();
  pid_t raw = 0;
  Around around;
  around.before = [&] {
    std::thread([&] {
      raw = static_cast<pid_t>(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
      if (raw == 0) _exit(OnlyLocalIsReadable(at));
    }).join();
  };
  const pid_t child = Fork([&] { return OnlyLocalIsReadable(at); }, around);
  EXPECT_EQ(StatusOf(raw), 0);
  EXPECT_EQ(StatusOf(child), 0);
  EXPECT_EQ(pager_->Stats().forks_refused, 2u);
  ExpectFilled(at, 1, kPages - 1);
}

TEST_F(ForksTest, AChildThatCannotWatchGoesOnWithWhatItHas) {
  char* const at = MostlyRemote();
  const auto allow = [](rlim_t descriptors) {
    const rlimit limit{descriptors, 1024};
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) _exit(103);
  };
  Around around;
  around.child_first = [&] { allow(0); };
  const pid_t child = Fork(
      [&] {
        allow(1024);
        return OnlyLocalIsReadable(at);
      },
      around);
  EXPECT_EQ(StatusOf(child), 0);
  ExpectFilled(at, 1, kPages - 1);
  EXPECT_TRUE(EventuallyNoChild());
}

TEST_F(ForksTest, AForkWithoutADescriptorHasTheSpareOnes) {
  char* const at = MostlyRemote();
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  // Not even for poll(), which refuses more than that.
  const rlimit none{0, before.rlim_max};
  Around around;
  around.before = [&] { ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0); };
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    const pid_t child = Fork([&] { return Wrong(at, 1, kPages - 1); }, around);
    EXPECT_EQ(StatusOf(child), 0);
  }
  EXPECT_EQ(pager_->Stats().forks_refused, 0u);
}

TEST_F(ForksTest, BeyondSixtyFourChildrenTheyAreRefused) {
  char* const at = MostlyRemote();
  Signal go;
  std::vector<pid_t> children;
  for (size_t i = 0; i < Forks::kMaxChildren + 2; ++i) {
    children.push_back(Fork([&, i] {
      go.Take();
      return i < Forks::kMaxChildren ? Wrong(at, kPagesPerPmd, 20)
                                     : OnlyLocalIsReadable(at);
    }));
  }
  EXPECT_EQ(pager_->Stats().forked_children, Forks::kMaxChildren);
  EXPECT_EQ(pager_->Stats().forks_refused, 2u);
  for (size_t i = 0; i < children.size(); ++i) go.Give();
  for (const pid_t child : children) EXPECT_EQ(StatusOf(child), 0);
  EXPECT_TRUE(EventuallyNoChild());
}

// The second child has copies of what the first one's pager had open: seen to
// hang while it kept them.
TEST_F(ForksTest, OfTwoChildrenNeitherIsLeftWaiting) {
  Start(8 * kMiB);
  char* const at = AddRegion(kBytes);
  Fill(at, 0, kPages / 2);
  PushOut(regions_.back());
  Signal ended;
  Signal first_done;
  const pid_t first = Fork([&] {
    ended.Take();
    if (!IsZeroPage(at + (kPages - 1) * kPageBytes)) return 101;
    if (IsReadable(at + (kPages / 2 - 1) * kPageBytes)) return 102;
    return munmap(at, kBytes) == 0 ? 0 : 103;
  });
  const pid_t second = Fork([&] {
    first_done.Take();
    return IsReadable(at + (kPages / 2 - 1) * kPageBytes) ? 104 : 0;
  });
  EndPager();
  ended.Give();
  EXPECT_EQ(StatusOf(first), 0);
  first_done.Give();
  EXPECT_EQ(StatusOf(second), 0);
}

TEST_F(ForksTest, WhereThePolicyIsToAbortTheChildAborts) {
  char* const at = Remote(std::chrono::seconds(2), FailPolicy::kAbort);
  Signal lost;
  const pid_t child = Fork([&] {
    lost.Take();
    return IsReadable(at) ? 101 : (pause(), 102);
  });
  transport_->LoseContents();
  lost.Give();
  EXPECT_EQ(StatusOf(child), 1000 + SIGABRT);
}

}  // namespace
}  // namespace farswap::pager

// What other threads do to the map while one forks.
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <thread>

#include "tests/client/pager/forks/fork_fixture.h"

namespace farswap::pager {
namespace {

// A program's other thread does something between the kernel's copy of the map
// and the end of fork().
class ForksAmidChangesTest : public ForkFixture {
 protected:
  pid_t ForkAmid(const std::function<void()>& change,
                 const std::function<int()>& body) {
    Around around;
    around.amid = [&] { std::thread(change).join(); };
    return Fork(body, around);
  }
};

// The child has it before or after that, and nobody knows. Seen to be zeros, in
// the end, while only what is in slots was poisoned.
TEST_F(ForksAmidChangesTest, WhatMovesIsSigbusNeverZeros) {
  char* const at = Remote();
  char* const to = Room(512, 0);
  Signal ended;
  const pid_t child =
      ForkAmid([&] { EXPECT_EQ(MoveTo(at, 512, to), to); },
               [&] {
                 int wrong = Wrong(at, 512, 100);
                 for (int i = 0; i < 2; ++i) {
                   for (uint64_t p = 0; p < 512; ++p) {
                     wrong += IsReadable(at + p * kPageBytes) ? 1 : 0;
                   }
                   if (i == 0) ended.Take();
                 }
                 return std::min(wrong, 100);
               });
  ExpectFilled(to, 0, 512);
  ExpectFilled(at, 512, kPages - 512);
  EndPager();
  ended.Give();
  EXPECT_EQ(StatusOf(child), 0);
}

// What was told before the fork began is the child's as well.
TEST_F(ForksAmidChangesTest, WhatMovedAndWasDiscardedBeforeIsTheChilds) {
  char* const at = Remote();
  char* const to = Room(512, 0);
  Around around;
  around.before = [&] {
    std::thread([&] {
      EXPECT_EQ(MoveTo(at, 512, to), to);
      EXPECT_EQ(Discard(at, 1000, 500), 0);
    }).join();
    usleep(20000);  // It is noticed that the thread has woken.
  };
  const pid_t child = Fork(
      [&] {
        int wrong =
            Wrong(to, 0, 512) + Wrong(at, 512, 488) + Wrong(at, 1500, 500);
        for (uint64_t p = 1000; p < 1500; ++p) {
          wrong += IsZeroPage(at + p * kPageBytes) ? 0 : 1;
        }
        return std::min(wrong, 100);
      },
      around);
  EXPECT_EQ(StatusOf(child), 0);
}

// Seen to be zeros: the discard was applied before the fork.
TEST_F(ForksAmidChangesTest, WhatIsDiscardedAfterwardsIsTheChildsStill) {
  char* const at = Remote();
  const pid_t child = ForkAmid([&] { EXPECT_EQ(Discard(at, 1000, 500), 0); },
                               [&] { return Wrong(at, 0, kPages); });
  EXPECT_EQ(StatusOf(child), 0);
  ExpectZeros(at, 1000, 500);
  ExpectFilled(at, 0, 1000);
}

// Together nobody can tell; the program's own goes on.
TEST_F(ForksAmidChangesTest, WhatIsDiscardedAndMovedAfterwardsIsNeverZeros) {
  char* const at = Remote();
  char* const to = Room(512, 0);
  const pid_t child = ForkAmid(
      [&] {
        EXPECT_EQ(Discard(at, 100, 500), 0);
        EXPECT_EQ(MoveTo(at, 512, to), to);
      },
      [&] {
        for (uint64_t p = 0; p < 600; ++p) {
          char* const page = at + p * kPageBytes;
          if (IsReadable(page) && !PageIs(page, p)) return 101;
        }
        return Wrong(at, 600, kPages - 600);
      });
  EXPECT_EQ(StatusOf(child), 0);
  ExpectFilled(to, 0, 100);
  ExpectZeros(to, 100, 412);
  ExpectZeros(at, 512, 88);
  ExpectFilled(at, 600, kPages - 600);
}

}  // namespace
}  // namespace farswap::pager

// fork() of a program with far memory on a real server, and what becomes of
// the child when the process that pages for it is killed.
#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <thread>

#include "tests/client/runtime/api_fixture.h"

namespace farswap {
namespace {

constexpr uint64_t kBytes = 32 * kMiB;
constexpr uint64_t kPage = 4096;

// Never zero.
uint64_t WordOf(uint64_t page) { return page * 0x9e3779b97f4a7c15ull | 1; }

void Fill(char* at) {
  for (uint64_t p = 0; p < kBytes / kPage; ++p) {
    for (uint64_t i = 0; i < kPage / 8; ++i) {
      reinterpret_cast<uint64_t*>(at + p * kPage)[i] = WordOf(p) + i;
    }
  }
}

uint64_t WrongPages(const char* at) {
  uint64_t wrong = 0;
  for (uint64_t p = 0; p < kBytes / kPage; ++p) {
    const auto* words = reinterpret_cast<const uint64_t*>(at + p * kPage);
    for (uint64_t i = 0; i < kPage / 8; ++i) {
      if (words[i] == WordOf(p) + i) continue;
      ++wrong;
      break;
    }
  }
  return wrong;
}

int StatusOf(pid_t child) {
  int status = 0;
  pid_t ended = 0;
  do {
    ended = waitpid(child, &status, 0);
  } while (ended < 0 && errno == EINTR);
  EXPECT_GT(ended, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

class FarswapForkTest : public FarswapApiTest {
 protected:
  void SetUp() override {
    if (!HasForkEvents()) {
      GTEST_SKIP() << "NOT TESTED: no privilege to be told of forks; run as "
                      "root, outside of a user namespace";
    }
    FarswapApiTest::SetUp();
  }
  // Far memory of which a quarter is local, for a process that has none yet.
  char* MakeFarMemory() {
    farswap_client* const client = Open();
    farswap_region* const region = MakeRegion(MakeGroup(client), kBytes);
    char* const at = static_cast<char*>(farswap_region_address(region));
    Fill(at);
    return at;
  }
  // Counts the words that it reads, and those that are zeros.
  [[noreturn]] static void ReadForever(const char* at,
                                       std::atomic<uint64_t>* seen) {
    for (;;) {
      for (uint64_t p = 0; p < kBytes / kPage; ++p) {
        const auto word = *reinterpret_cast<const volatile uint64_t*>(
            at + (p * 37 % (kBytes / kPage)) * kPage);
        ++seen[word == 0 ? 1 : 0];
      }
    }
  }
  // The process that is to be killed: its child reads what is far, and says
  // by the shared page what it saw. Never returns.
  [[noreturn]] void PageForAChild(std::atomic<uint64_t>* seen) {
    char* const at = MakeFarMemory();
    if (fork() == 0) ReadForever(at, seen);
    for (;;) pause();
  }
};

TEST_F(FarswapForkTest, AChildReadsAndWritesWithItsParent) {
  // The process of the test itself forks on; far memory is not for those.
  const pid_t program = fork();
  if (program == 0) {
    char* const at = MakeFarMemory();
    const pid_t child = fork();
    if (child == 0) {
      if (WrongPages(at) != 0) _exit(1);
      farswap_client_options options = ClientOptions();
      farswap_client* client = nullptr;
      if (farswap_client_open(&options, &client) != -EPERM) _exit(2);
      for (uint64_t p = 0; p < kBytes; p += kPage) at[p] = 'c';
      for (uint64_t p = 0; p < kBytes; p += kPage) {
        if (at[p] != 'c') _exit(3);
      }
      _exit(0);
    }
    const uint64_t wrong = WrongPages(at);
    const int status = StatusOf(child);
    _exit(status != 0 ? status : WrongPages(at) + wrong != 0 ? 4 : 0);
  }
  EXPECT_EQ(StatusOf(program), 0);
}

// Seen to hang with a watcher that waits for the socket alone, of whose other
// end the child has a copy.
TEST_F(FarswapForkTest, AChildOfAKilledPagerIsKilledAndReadsNoZeros) {
  const char* const is_long = std::getenv("FARSWAP_TEST_LONG");
  const int rounds = is_long != nullptr && std::atoi(is_long) != 0 ? 50 : 8;
  ASSERT_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
  auto* const seen = static_cast<std::atomic<uint64_t>*>(
      mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
           -1, 0));
  for (int round = 0; round < rounds; ++round) {
    // What the killed one had is its session's, until its lease is over.
    if (round > 0) SetUp();
    seen[0] = 0;
    seen[1] = 0;
    const pid_t program = fork();
    if (program == 0) PageForAChild(seen);
    for (int i = 0; i < 100000 && seen[0] == 0; ++i) usleep(100);
    ASSERT_GT(seen[0].load(), 0u) << "the child does not read";
    usleep(static_cast<useconds_t>(round) * 300);
    ASSERT_EQ(kill(program, SIGKILL), 0);
    EXPECT_EQ(StatusOf(program), 1000 + SIGKILL);
    EXPECT_EQ(StatusOf(-1), 1000 + SIGKILL) << "the child";
    EXPECT_EQ(seen[1].load(), 0u) << "round " << round;
  }
  munmap(seen, kPage);
}

// The pager goes on as another program that has nothing of it. Seen to hang
// while the child had a copy of the socket's other end.
TEST_F(FarswapForkTest, AChildOfAPagerThatCallsExecIsKilled) {
  ASSERT_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
  auto* const seen = static_cast<std::atomic<uint64_t>*>(
      mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
           -1, 0));
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const pid_t program = fork();
  if (program == 0) {
    char* const at = MakeFarMemory();
    if (fork() == 0) ReadForever(at, seen);
    while (seen[0] == 0) usleep(100);
    execl("/bin/sleep", "sleep", "100", nullptr);
    _exit(1);
  }
  // The child is the last to have the other end.
  close(ends[1]);
  char byte;
  EXPECT_EQ(read(ends[0], &byte, 1), 0);
  close(ends[0]);
  EXPECT_EQ(kill(program, SIGKILL), 0);
  EXPECT_EQ(StatusOf(program), 1000 + SIGKILL);
  EXPECT_EQ(StatusOf(-1), 1000 + SIGKILL) << "the child";
  EXPECT_GT(seen[0].load(), 0u);
  EXPECT_EQ(seen[1].load(), 0u);
  munmap(seen, kPage);
}

// Handlers of others, around a fork and of signals, touch far memory, and wait
// for who does. Seen to hang while ours ran first before a fork.
struct Others {
  static inline std::mutex* mu = nullptr;
  static inline volatile char* far = nullptr;

  static void Touch() {
    for (uint64_t p = 0; far != nullptr && p < kBytes; p += kMiB) (void)far[p];
  }
  static void Before() {
    mu->lock();
    Touch();
  }
  static void After() {
    Touch();
    mu->unlock();
  }
};

TEST_F(FarswapForkTest, HandlersOfOthersMayTouchFarMemory) {
  const pid_t program = fork();
  if (program == 0) {
    alarm(100);
    Others::mu = new std::mutex;
    // Before the client is opened: ours must still be the last, and the first.
    pthread_atfork(Others::Before, Others::After, Others::After);
    char* const at = MakeFarMemory();
    Others::far = at;
    signal(SIGUSR1, [](int) { (void)Others::far[17 * kMiB]; });
    std::atomic<bool> stop{false};
    const pthread_t main = pthread_self();
    std::thread holder([&] {
      while (!stop) {
        const std::lock_guard lock(*Others::mu);
        Others::Touch();
      }
    });
    std::thread signaller([&] {
      while (!stop) {
        pthread_kill(main, SIGUSR1);
        usleep(5000);
      }
    });
    // fork() waits for glibc's list of streams, whose holder waits for the one
    // that is written to, and that for a page.
    std::FILE* const null = std::fopen("/dev/null", "w");
    std::thread writer([&] {
      for (uint64_t p = 0; !stop; p = (p + 5 * kMiB) % kBytes) {
        std::fwrite(at + p, 1, kPage, null);
      }
    });
    std::thread flusher([&] {
      while (!stop) std::fflush(nullptr);
    });
    int wrong = 0;
    for (int i = 0; i < 10; ++i) {
      const pid_t child = fork();
      if (child == 0) _exit(WrongPages(at) == 0 ? 0 : 1);
      wrong += StatusOf(child) == 0 ? 0 : 1;
    }
    stop = true;
    holder.join();
    signaller.join();
    writer.join();
    flusher.join();
    _exit(wrong + (WrongPages(at) == 0 ? 0 : 100));
  }
  EXPECT_EQ(StatusOf(program), 0);
}

}  // namespace
}  // namespace farswap

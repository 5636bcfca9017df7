// Eight threads do to far memory whatever a program may do, at 4:1 overcommit,
// while the server is slow, answers nothing, or forgets everything. Every page
// reads as what was last written, or raises SIGBUS under a lost server.
//
// 10 s a test; with FARSWAP_TEST_LONG=1 five minutes. FARSWAP_TEST_SEED=N
// repeats a run as far as threads can be repeated.
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "tests/client/pager/pager_fixture.h"

namespace farswap::pager {
namespace {

using Clock = std::chrono::steady_clock;
using Transport = remote::MemoryTransport;

constexpr int kThreads = 8;
constexpr uint64_t kLimit = 16 * kMiB;
constexpr uint64_t kStripePages = 64;
constexpr uint64_t kStripeBytes = kStripePages * kPageBytes;
// 64 MiB in all.
constexpr int kStripes = 32;

std::chrono::seconds Duration() {
  const bool is_long = std::getenv("FARSWAP_TEST_LONG") != nullptr &&
                       std::atoi(std::getenv("FARSWAP_TEST_LONG")) != 0;
  return std::chrono::seconds(is_long ? 300 : 10);
}

uint64_t Seed() {
  const char* const given = std::getenv("FARSWAP_TEST_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 10)
                          : std::random_device()();
}

// --- accesses that may raise SIGBUS ---

thread_local sigjmp_buf on_sigbus;
thread_local volatile sig_atomic_t guarded = 0;

void OnSigbus(int) {
  if (guarded) siglongjmp(on_sigbus, 1);
  signal(SIGBUS, SIG_DFL);
}

// False if `access` raised SIGBUS.
template <typename Access>
bool Guarded(Access access) {
  volatile bool done = false;
  if (sigsetjmp(on_sigbus, 1) == 0) {
    guarded = 1;
    access();
    done = true;
  }
  guarded = 0;
  return done;
}

// What a page may read as.
struct Expected {
  uint64_t stamp = 0;  // 0: zeros.
  bool freed = false;  // Or zeros: MADV_FREE.
};

bool IsZeroPage(const char* page) {
  static const char zeros[kPageBytes] = {};
  return std::memcmp(page, zeros, kPageBytes) == 0;
}

bool Is(const char* page, const Expected& expected) {
  if (expected.stamp == 0) return IsZeroPage(page);
  return PageIs(page, expected.stamp) || (expected.freed && IsZeroPage(page));
}

// 64 pages that one thread owns, wherever they are now.
struct Stripe {
  char* at = nullptr;
  std::array<Expected, kStripePages> pages;
  bool read_only = false;
  bool locked = false;
  bool replaced = false;  // In part: it is several mappings.
};

class ChaosTest : public PagerTest {
 protected:
  void SetUp() override {
    signal(SIGBUS, OnSigbus);
    seed_ = Seed();
    RecordProperty("seed", std::to_string(seed_));
    std::printf("seed %llu\n", static_cast<unsigned long long>(seed_));
  }

  void Run(bool lossy);
  void ThreadOf(int t, bool lossy);
  void Director(bool lossy);
  void Step(std::mt19937_64& random, Stripe* stripe, bool lossy);
  void Check(Stripe* stripe, uint64_t p, bool lossy);
  void Write(Stripe* stripe, uint64_t p, uint64_t stamp, bool lossy);
  void Discard(Stripe* stripe, uint64_t p, uint64_t count, int advice);
  void Replace(Stripe* stripe, uint64_t kept);
  void Move(Stripe* stripe);
  void SetProtection(Stripe* stripe, bool read_only);
  void SetLocked(Stripe* stripe, bool locked);

  uint64_t seed_ = 0;
  char* at_ = nullptr;
  std::atomic<bool> stop_{false};
  std::atomic<int> wrong_{0};
  std::atomic<int> sigbus_{0};
  std::atomic<uint64_t> moves_{0};
  std::atomic<uint64_t> steps_{0};
};

void ChaosTest::Check(Stripe* stripe, uint64_t p, bool lossy) {
  const char* const page = stripe->at + p * kPageBytes;
  Expected& expected = stripe->pages[p];
  volatile bool right = false;
  if (Guarded([&] { right = Is(page, expected); })) {
    if (!right) ++wrong_;
    return;
  }
  ++sigbus_;
  // Lost. Only a discard makes it usable again.
  if (!lossy) return;
  Discard(stripe, p, 1, MADV_DONTNEED);
}

void ChaosTest::Write(Stripe* stripe, uint64_t p, uint64_t stamp, bool lossy) {
  if (stripe->read_only) return;
  char* const page = stripe->at + p * kPageBytes;
  if (Guarded([&] { FillPage(page, stamp); })) {
    stripe->pages[p] = {stamp, false};
    return;
  }
  ++sigbus_;
  if (lossy) Discard(stripe, p, 1, MADV_DONTNEED);
}

void ChaosTest::Discard(Stripe* stripe, uint64_t p, uint64_t count,
                        int advice) {
  if (stripe->locked) return;
  count = std::min(count, kStripePages - p);
  if (madvise(stripe->at + p * kPageBytes, count * kPageBytes, advice) != 0) {
    ++wrong_;
    return;
  }
  for (uint64_t i = p; i < p + count; ++i) {
    if (advice == MADV_FREE) {
      stripe->pages[i].freed = true;
    } else {
      stripe->pages[i] = {};
    }
  }
}

// Unmaps all but the first `kept` pages, and goes on with memory of the
// program's own behind them.
void ChaosTest::Replace(Stripe* stripe, uint64_t kept) {
  if (stripe->locked || stripe->read_only) return;
  char* const from = stripe->at + kept * kPageBytes;
  const size_t bytes = (kStripePages - kept) * kPageBytes;
  if (munmap(from, bytes) != 0) ++wrong_;
  // Nobody else's, unless another thread was faster.
  void* const own =
      mmap(from, bytes, PROT_READ | PROT_WRITE,
           MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (own == from) {
    for (uint64_t p = kept; p < kStripePages; ++p) stripe->pages[p] = {};
    stripe->replaced = true;
    return;
  }
  if (own != MAP_FAILED) munmap(own, bytes);
  stripe->at = nullptr;  // Given up.
}

// To where the kernel likes, which is likely where others have just left.
void ChaosTest::Move(Stripe* stripe) {
  if (stripe->locked || stripe->replaced) return;
  void* const room = mmap(nullptr, kStripeBytes, PROT_NONE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (room == MAP_FAILED) return;
  void* const to = mremap(stripe->at, kStripeBytes, kStripeBytes,
                          MREMAP_MAYMOVE | MREMAP_FIXED, room);
  if (to == room) {
    stripe->at = static_cast<char*>(to);
    ++moves_;
  } else if (errno == EFAULT) {
    munmap(room, kStripeBytes);  // It is several mappings.
  } else {
    ++wrong_;
  }
}

void ChaosTest::SetProtection(Stripe* stripe, bool read_only) {
  if (stripe->locked) return;
  const int protection = read_only ? PROT_READ : PROT_READ | PROT_WRITE;
  if (mprotect(stripe->at, kStripeBytes, protection) == 0) {
    stripe->read_only = read_only;
  }
}

void ChaosTest::SetLocked(Stripe* stripe, bool locked) {
  // A page, so that much less than the limit is locked.
  const int64_t call = locked ? SYS_mlock : SYS_munlock;
  if (syscall(call, stripe->at, kPageBytes) == 0) stripe->locked = locked;
}

void ChaosTest::Step(std::mt19937_64& random, Stripe* stripe, bool lossy) {
  if (stripe->at == nullptr) return;
  const uint64_t p = random() % kStripePages;
  switch (random() % 64) {
    case 0:
      return Discard(stripe, p, 1 + random() % 32, MADV_DONTNEED);
    case 1:
      return Discard(stripe, p, 1 + random() % 32, MADV_FREE);
    case 3:
      // For a while only: what is protected stays where it is, and is charged.
      SetProtection(stripe, true);
      for (int i = 0; i < 8; ++i) Check(stripe, random() % kStripePages, lossy);
      return SetProtection(stripe, false);
    case 4:
      // Not under a lost server: mlock fails at a poisoned page.
      if (lossy) return;
      return SetLocked(stripe, !stripe->locked);
    case 5:
      if (random() % 16 == 0) Replace(stripe, random() % kStripePages);
      return;
    case 7:
      return Move(stripe);
    case 6:
      madvise(stripe->at, kStripeBytes,
              random() % 2 == 0 ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
      return;
    default:
      if (random() % 2 == 0) {
        Write(stripe, p, random() | 1, lossy);
      } else {
        Check(stripe, p, lossy);
      }
  }
}

void ChaosTest::ThreadOf(int t, bool lossy) {
  std::mt19937_64 random(seed_ + t);
  std::vector<Stripe> stripes(kStripes);
  for (int s = 0; s < kStripes; ++s) {
    stripes[s].at = at_ + (s * kThreads + t) * kStripeBytes;
  }
  while (!stop_) {
    // Some locality, so that folios of all sizes come and go.
    Stripe& stripe = stripes[random() % kStripes];
    for (int i = 0; i < 16 && !stop_; ++i) {
      Step(random, &stripe, lossy);
      ++steps_;
    }
  }
  for (Stripe& stripe : stripes) {
    if (stripe.at == nullptr) continue;
    if (stripe.locked) SetLocked(&stripe, false);
    for (uint64_t p = 0; p < kStripePages; ++p) Check(&stripe, p, lossy);
  }
}

void ChaosTest::Director(bool lossy) {
  std::mt19937_64 random(seed_ + kThreads);
  while (!stop_) {
    const Call call =
        std::array{Call::kGet, Call::kPut, Call::kAllocate}[random() % 3];
    switch (random() % 4) {
      case 0:
        transport_->Hold(call);
        std::this_thread::sleep_for(std::chrono::milliseconds(random() % 100));
        transport_->Release(call);
        break;
      case 1:
        pager_->PageOut(regions_[0]).IgnoreError();
        break;
      case 2:
        transport_->CorruptNextGets(1);
        break;
      default:
        if (lossy) transport_->LoseContents();
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(random() % 200));
  }
}

void ChaosTest::Run(bool lossy) {
  Start(kLimit, /*max_clusters=*/256);
  at_ = AddRegion(kThreads * kStripes * kStripeBytes);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([this, t, lossy] { ThreadOf(t, lossy); });
  }
  std::thread director([this, lossy] { Director(lossy); });
  std::this_thread::sleep_for(Duration());
  stop_ = true;
  director.join();
  for (std::thread& thread : threads) thread.join();
  const PagerStats stats = pager_->Stats();
  std::printf(
      "%llu steps, %llu moves, %llu faults, %d SIGBUS, %llu pages lost, "
      "%d wrong\n",
      static_cast<unsigned long long>(steps_.load()),
      static_cast<unsigned long long>(moves_.load()),
      static_cast<unsigned long long>(stats.faults), sigbus_.load(),
      static_cast<unsigned long long>(stats.pages_lost), wrong_.load());
  EXPECT_EQ(wrong_, 0);
  EXPECT_GT(moves_, 100u);
  EXPECT_GT(stats.faults, 100u);
  EXPECT_GT(stats.swpin_bytes, 0u);
}

TEST_F(ChaosTest, ASlowServerLosesNothing) {
  Run(/*lossy=*/false);
  EXPECT_EQ(sigbus_, 0);
  EXPECT_EQ(pager_->Stats().pages_lost, 0u);
}

TEST_F(ChaosTest, AServerThatForgetsIsSigbusNeverOldBytes) {
  Run(/*lossy=*/true);
  EXPECT_GT(sigbus_, 0);
}

}  // namespace
}  // namespace farswap::pager

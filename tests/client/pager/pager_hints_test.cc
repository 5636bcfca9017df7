// Hints on ranges: what is pinned stays, what is cold goes, what is prefetched
// is there before a touch.
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <random>
#include <thread>
#include <vector>

#include "client/pager/hints.h"
#include "client/pager/pager.h"
#include "tests/client/pager/hints_fixture.h"

namespace farswap::pager {
namespace {

using Transport = remote::MemoryTransport;

TEST_F(HintsTest, RangesAreTreatedAsByMadvise) {
  Start(32 * kMiB);
  AddRegion(4 * kMiB);
  uint8_t byte = 99;
  EXPECT_EQ(hints().Cold(region(), 1, kPageBytes).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(hints().Discard(region(), 4 * kMiB, 1).code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(hints().Pin(region(), kPageBytes, ~uint64_t{0}).code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(hints().Unpin(nullptr, 0, 1).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(hints().Prefetch(region(), 4 * kMiB, 0).ok());
  EXPECT_TRUE(hints().Residency(region(), 0, 0, &byte).ok());
  EXPECT_EQ(byte, 99);
  // One byte is its page.
  EXPECT_TRUE(hints().Residency(region(), 0, 1, &byte).ok());
  EXPECT_EQ(byte, static_cast<uint8_t>(PageState::kZero));
}

TEST_F(HintsTest, ResidencyTellsTheFourStates) {
  Start(32 * kMiB);
  char* const at = Filled(6 * kMiB);
  EXPECT_EQ(Chill(2 * kMiB, 2 * kMiB), 2 * kMiB);
  ASSERT_TRUE(hints().Discard(region(), 4 * kMiB, kPageBytes).ok());
  EXPECT_EQ(Count(PageState::kResident, 0, 2 * kMiB), 512u);
  EXPECT_EQ(Count(PageState::kRemote, 2 * kMiB, 2 * kMiB), 512u);
  EXPECT_EQ(Count(PageState::kZero, 4 * kMiB, 2 * kMiB), 1u);
  EXPECT_EQ(Count(PageState::kResident, 4 * kMiB, 2 * kMiB), 511u);
  EXPECT_TRUE(Eventually([&] { return transport_->puts_under_way() == 0; }));
  transport_->LoseContents();
  EXPECT_FALSE(IsReadable(at + 2 * kMiB));
  EXPECT_GE(Count(PageState::kLost, 2 * kMiB, 2 * kMiB),
            uint64_t{kPagesPerPart});
}

TEST_F(HintsTest, AnArrayInFarMemoryMayBeOutItself) {
  Start(32 * kMiB);
  char* const at = Filled(4 * kMiB);
  PushOut(region());
  ASSERT_TRUE(hints()
                  .Residency(region(), 0, 4 * kMiB,
                             reinterpret_cast<uint8_t*>(at + kMiB))
                  .ok());
  // Its own block was brought in after it was looked at.
  EXPECT_EQ(at[kMiB], static_cast<char>(PageState::kRemote));
}

TEST_F(HintsTest, ColdGoesAndTheRestStays) {
  for (const bool huge : {true, false}) {
    SCOPED_TRACE(huge);
    Start(64 * kMiB);
    char* const at = Filled(8 * kMiB, huge);
    // From amid one part to amid another.
    constexpr uint64_t kFirst = 3 * kPageBytes + kMiB;
    constexpr uint64_t kBytes = 4 * kMiB + 5 * kPageBytes;
    EXPECT_EQ(Chill(kFirst, kBytes), kBytes);
    EXPECT_EQ(Count(PageState::kRemote, kFirst, kBytes), kBytes / kPageBytes);
    EXPECT_EQ(Count(PageState::kRemote, 0, 8 * kMiB), kBytes / kPageBytes);
    EXPECT_EQ(pager_->Stats().remote_bytes, kBytes);
    ExpectFilled(at, 0, 8 * kMiB / kPageBytes);
    TearDown();
  }
}

TEST_F(HintsTest, PinnedPagesAreNeverVictims) {
  for (const bool huge : {true, false}) {
    SCOPED_TRACE(huge);
    Start(32 * kMiB);
    const char* const at = Filled(16 * kMiB, huge);
    PushOut(region());
    // From amid one part to amid another.
    constexpr uint64_t kFirst = kMiB + 3 * kPageBytes;
    constexpr uint64_t kBytes = 10 * kMiB + 5 * kPageBytes;
    const absl::Status pinned = hints().Pin(region(), kFirst, kBytes);
    ASSERT_TRUE(pinned.ok()) << pinned;
    EXPECT_EQ(pager_->Stats().pinned_bytes, kBytes);
    Press(96 * kMiB);
    EXPECT_EQ(Count(PageState::kResident, kFirst, kBytes), kBytes / kPageBytes);
    // The others are victims as before, and cold does nothing to pins.
    EXPECT_TRUE(Eventually([&] {
      return hints().Cold(region(), 0, 16 * kMiB).ok() &&
             Count(PageState::kResident, 0, 16 * kMiB) == kBytes / kPageBytes;
    }));
    ExpectFilled(at, 0, 16 * kMiB / kPageBytes);
    // Twice is as once.
    ASSERT_TRUE(hints().Pin(region(), kFirst, kBytes).ok());
    EXPECT_EQ(pager_->Stats().pinned_bytes, kBytes);
    ASSERT_TRUE(hints().Unpin(region(), kFirst, kBytes).ok());
    EXPECT_EQ(pager_->Stats().pinned_bytes, 0u);
    EXPECT_TRUE(Eventually([&] {
      return hints().Cold(region(), 0, 16 * kMiB).ok() &&
             Count(PageState::kResident, 0, 16 * kMiB) == 0;
    }));
    ExpectFilled(at, 0, 16 * kMiB / kPageBytes);
    TearDown();
  }
}

TEST_F(HintsTest, APinIsRefusedWhereTheLimitWouldNotHold) {
  Start(32 * kMiB);
  const char* const at = Filled(64 * kMiB);
  EXPECT_EQ(hints().Pin(region(), 0, 26 * kMiB).code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(pager_->Stats().pinned_bytes, 0u);
  ASSERT_TRUE(hints().Pin(region(), 0, 24 * kMiB).ok());
  EXPECT_EQ(hints().Pin(region(), 24 * kMiB, kPageBytes).code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(pager_->Stats().pinned_bytes, 24 * kMiB);
  // Nor can the limit go below it.
  EXPECT_EQ(pager_->SetGroupLimit(group_, 30 * kMiB).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(group_->limit(), 32 * kMiB / kPageBytes);
  EXPECT_TRUE(pager_->SetGroupLimit(group_, 34 * kMiB).ok());
  EXPECT_TRUE(hints().Pin(region(), 24 * kMiB, 2 * kMiB).ok());
  // What is left is enough to live in.
  ExpectFilled(at, 0, 64 * kMiB / kPageBytes);
  EXPECT_EQ(Count(PageState::kResident, 0, 26 * kMiB), 26 * kMiB / kPageBytes);
}

TEST_F(HintsTest, APinOfALostPageLeavesNothingPinned) {
  Start(32 * kMiB);
  Filled(4 * kMiB);
  EXPECT_EQ(Chill(2 * kMiB, 2 * kMiB), 2 * kMiB);
  EXPECT_TRUE(Eventually([&] { return transport_->puts_under_way() == 0; }));
  transport_->LoseContents();
  EXPECT_EQ(hints().Pin(region(), 0, 4 * kMiB).code(),
            absl::StatusCode::kDataLoss);
  EXPECT_EQ(pager_->Stats().pinned_bytes, 0u);
}

// With a deadline of 30 s: to wait for such a page would be to wait for ever.
TEST_F(HintsTest, WhatTheProgramMadeItsOwnIsNotPinned) {
  Start(64 * kMiB);
  char* const at = Filled(4 * kMiB);
  ASSERT_EQ(mmap(at + kMiB, kPageBytes, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
            at + kMiB);
  at[kMiB] = 1;
  const auto before = std::chrono::steady_clock::now();
  EXPECT_TRUE(
      absl::IsInvalidArgument(hints().Pin(region(), kMiB, 2 * kPageBytes)));
  EXPECT_LT(std::chrono::steady_clock::now() - before,
            std::chrono::seconds(20));
  EXPECT_EQ(group_->pinned(), 0u);
  EXPECT_EQ(at[kMiB], 1);
  ExpectFilled(at, 0, kMiB / kPageBytes);
  // The fixture counts what is left.
  munmap(at + kMiB, kPageBytes);
}

TEST_F(HintsTest, ARegionGoesWithItsPins) {
  Start(32 * kMiB);
  Filled(8 * kMiB);
  ASSERT_TRUE(hints().Pin(region(), 0, 8 * kMiB).ok());
  ASSERT_TRUE(pager_->DestroyRegion(region()).ok());
  regions_.clear();
  EXPECT_EQ(pager_->Stats().pinned_bytes, 0u);
  EXPECT_EQ(pager_->Stats().resident_bytes, 0u);
}

TEST_F(HintsTest, PrefetchedPagesAreThereBeforeATouch) {
  Start(64 * kMiB);
  const char* const at = Filled(16 * kMiB);
  PushOut(region());
  const uint64_t faults = pager_->Stats().faults;
  ASSERT_TRUE(hints().Prefetch(region(), kMiB, 8 * kMiB).ok());
  // From the part of its start to that of its end.
  EXPECT_TRUE(Eventually(
      [&] { return Count(PageState::kResident, kMiB, 8 * kMiB) == 8 * 256; }));
  EXPECT_EQ(pager_->Stats().faults, faults);
  EXPECT_EQ(pager_->Stats().swpin[kPmdOrder], 3u);
  EXPECT_EQ(pager_->Stats().swap_ra, 3u + 2 * 16);
  EXPECT_EQ(Count(PageState::kResident, 0, 16 * kMiB), 8 * 256u);
  ExpectFilled(at, 256, 256 + 8 * 256);
  EXPECT_EQ(pager_->Stats().faults, faults);
  ExpectFilled(at, 0, 4096);
}

TEST_F(HintsTest, PrefetchTakesNothingOut) {
  Start(16 * kMiB);
  Filled(64 * kMiB);
  const PagerStats before = pager_->Stats();
  ASSERT_TRUE(hints().Prefetch(region(), 0, 64 * kMiB).ok());
  EXPECT_TRUE(Eventually([&] { return pager_->Stats().prefetch_dropped > 0; }));
  EXPECT_LE(pager_->Stats().resident_bytes, 16 * kMiB);
  EXPECT_EQ(pager_->Stats().faults, before.faults);
}

TEST_F(HintsTest, PrefetchStepsAsideForFaults) {
  Start(64 * kMiB);
  const char* const at = Filled(8 * kMiB);
  PushOut(region());
  transport_->Hold(Transport::kGet);
  std::thread reader([&] { EXPECT_TRUE(PageIs(at, 1)); });
  ASSERT_TRUE(transport_->WaitHeld(Transport::kGet, 1));
  ASSERT_TRUE(hints().Prefetch(region(), 2 * kMiB, 6 * kMiB).ok());
  // While a fault is served nothing is read for nobody.
  for (int i = 0; i < 100; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    ASSERT_EQ(transport_->held(Transport::kGet), 1u);
  }
  transport_->Release(Transport::kGet);
  reader.join();
  EXPECT_TRUE(Eventually([&] {
    return Count(PageState::kResident, 2 * kMiB, 6 * kMiB) == 3 * 512;
  }));
}

TEST_F(HintsTest, AFailedPrefetchLosesNothing) {
  Start(64 * kMiB);
  const char* const at = Filled(8 * kMiB);
  PushOut(region());
  transport_->FailNext(Transport::kGet, absl::DeadlineExceededError("no"), 1);
  ASSERT_TRUE(hints().Prefetch(region(), 0, 8 * kMiB).ok());
  EXPECT_TRUE(Eventually([&] { return pager_->Stats().prefetch_dropped > 0; }));
  EXPECT_EQ(pager_->Stats().pages_lost, 0u);
  ExpectFilled(at, 0, 2048);
}

TEST_F(HintsTest, HintsFromManyThreadsLoseNothing) {
  Start(24 * kMiB);
  constexpr int kThreads = 4;
  constexpr uint64_t kBytes = 16 * kMiB;
  constexpr uint64_t kPages = kBytes / kPageBytes;
  char* const at = AddRegion(kThreads * kBytes);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      char* const mine = at + t * kBytes;
      const uint64_t base = t * kBytes;
      std::vector<uint64_t> stamps(kPages, 0);
      std::mt19937_64 random(t);
      for (int i = 0; i < 1500; ++i) {
        const uint64_t p = random() % kPages;
        const uint64_t n = std::min(random() % 700 + 1, kPages - p);
        const uint64_t offset = base + p * kPageBytes;
        char* const page = mine + p * kPageBytes;
        switch (random() % 8) {
          case 0:
            ASSERT_TRUE(hints().Discard(region(), offset, n * kPageBytes).ok());
            std::fill_n(stamps.begin() + p, n, 0);
            break;
          case 1:
            ASSERT_TRUE(hints().Cold(region(), offset, n * kPageBytes).ok());
            break;
          case 2:
            ASSERT_TRUE(
                hints().Prefetch(region(), offset, n * kPageBytes).ok());
            break;
          case 3:
            if (hints().Pin(region(), offset, n * kPageBytes).ok()) {
              ASSERT_TRUE(hints().Unpin(region(), base, kBytes).ok());
            }
            break;
          case 4:
          case 5:
            FillPage(page, stamps[p] = random() | 1);
            break;
          default:
            ASSERT_TRUE(stamps[p] == 0 ? IsZeroPage(page)
                                       : PageIs(page, stamps[p]))
                << "thread " << t << " turn " << i << " page " << p;
        }
      }
      for (uint64_t p = 0; p < kPages; ++p) {
        const char* const page = mine + p * kPageBytes;
        ASSERT_TRUE(stamps[p] == 0 ? IsZeroPage(page) : PageIs(page, stamps[p]))
            << "thread " << t << " page " << p;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(pager_->Stats().pages_lost, 0u);
  EXPECT_EQ(pager_->Stats().pinned_bytes, 0u);
}

}  // namespace
}  // namespace farswap::pager

// Beside each test stands what was broken once to see it fail.
#include "client/core/readahead.h"

#include <atomic>
#include <chrono>
#include <thread>

#include "common/units.h"
#include "gtest/gtest.h"

namespace farswap::core {
namespace {

constexpr uint64_t kRegion = 1 << 20;

using Window = AddressReadahead::Window;
void ExpectWindow(const Window& window, uint64_t first, uint32_t pages) {
  EXPECT_EQ(window.first, first);
  EXPECT_EQ(window.pages, pages);
}

// Broken by: hits + 1; the cap before the half of the window before.
TEST(ReadaheadPages, FollowsTheHitsTheNeighboursAndTheWindowBefore) {
  // No hit: the page, or two if the fault before was next to it.
  EXPECT_EQ(ReadaheadPages(0, false, 0, 32), 1u);
  EXPECT_EQ(ReadaheadPages(0, true, 0, 32), 2u);
  // Hits and two more, up to a power of two from 4 on.
  EXPECT_EQ(ReadaheadPages(1, false, 0, 32), 4u);
  EXPECT_EQ(ReadaheadPages(2, true, 0, 32), 4u);
  EXPECT_EQ(ReadaheadPages(3, false, 0, 32), 8u);
  EXPECT_EQ(ReadaheadPages(6, false, 0, 32), 8u);
  EXPECT_EQ(ReadaheadPages(7, false, 0, 32), 16u);
  EXPECT_EQ(ReadaheadPages(30, false, 0, 32), 32u);
  EXPECT_EQ(ReadaheadPages(31, false, 0, 32), 32u);
  EXPECT_EQ(ReadaheadPages(63, false, 0, 8), 8u);
  // Never below half of the window before,
  EXPECT_EQ(ReadaheadPages(0, false, 32, 32), 16u);
  EXPECT_EQ(ReadaheadPages(0, true, 2, 32), 2u);
  EXPECT_EQ(ReadaheadPages(1, false, 16, 32), 8u);
  // nor above the cap.
  EXPECT_EQ(ReadaheadPages(0, false, 32, 8), 8u);
  EXPECT_EQ(ReadaheadPages(40, true, 32, 1), 1u);
}

// Broken by: kStartHits = 0.
TEST(AddressReadahead, StartsAsIfSomeHadBeenUsed) {
  AddressReadahead readahead;
  ExpectWindow(readahead.OnFault(1000, kRegion), 997, 8);
}

// Broken by: the branches of forward and backward exchanged.
TEST(AddressReadahead, ForwardFromTheFaultBackwardUpToItElseAround) {
  AddressReadahead readahead;
  readahead.OnFault(2000, kRegion);
  ExpectWindow(readahead.OnFault(2001, kRegion), 2001, 4);
  ExpectWindow(readahead.OnFault(2000, kRegion), 1999, 2);
  ExpectWindow(readahead.OnFault(1999, kRegion), 1998, 2);
  ExpectWindow(readahead.OnFault(1500, kRegion), 1500, 1);
  readahead.OnHit(1500);
  ExpectWindow(readahead.OnFault(1700, kRegion), 1699, 4);
}

// A stream faults once a window; the hits say that it goes on. Broken by:
// OnHit not telling its page (the window after is centred); OnFault keeping
// the hits.
TEST(AddressReadahead, AStreamThatUsesAllGrowsToTheCapAndNoFurther) {
  AddressReadahead readahead;
  uint64_t page = kPagesPerPmd;
  uint32_t want = 8;
  Window window = readahead.OnFault(page, kRegion);
  page = window.first + window.pages;
  for (int i = 0; i < 10; ++i) {
    for (uint64_t hit = page - want + 1; hit < page; ++hit) {
      readahead.OnHit(hit);
    }
    want = i == 0 ? 16 : 32;
    window = readahead.OnFault(page, kRegion);
    ExpectWindow(window, page, want);
    page += window.pages;
  }
  // Nothing of it was used: it halves, down to the page alone.
  for (const uint32_t pages : {16, 8, 4, 2, 1, 1}) {
    page = AlignDown(page, kPagesPerPmd) + kPagesPerPmd + 100;
    EXPECT_EQ(readahead.OnFault(page, kRegion).pages, pages);
  }
}

// Broken by: the minimum with the block's end, or with region_pages, left out;
// the clip of `below` left out.
TEST(AddressReadahead, IsClippedToTheBlockAndToTheRegion) {
  AddressReadahead up;
  up.OnFault(508, kRegion);
  ExpectWindow(up.OnFault(509, kRegion), 509, 3);
  AddressReadahead down;
  down.OnFault(514, kRegion);
  ExpectWindow(down.OnFault(513, kRegion), 512, 2);
  AddressReadahead end;
  ExpectWindow(end.OnFault(99, 100), 96, 4);
  AddressReadahead first;
  ExpectWindow(first.OnFault(1, 2), 0, 2);
  ExpectWindow(first.OnFault(0, 1), 0, 1);
}

// Broken by: min with max_pages left out of ReadaheadPages.
TEST(AddressReadahead, ACapOfOneReadsNothingAhead) {
  AddressReadahead readahead(1);
  for (uint64_t page = 0; page < 100; ++page) {
    ExpectWindow(readahead.OnFault(page, kRegion), page, 1);
    readahead.OnHit(page);
  }
}

// Broken by: not aligning; StartHits 0.
TEST(ClusterReadahead, IsTheAlignedSlotsAroundTheFault) {
  ClusterReadahead readahead;
  const auto expect = [&](SwapEntry fault, uint32_t slot, uint32_t pages) {
    const ClusterReadahead::Window window = readahead.OnFault(fault);
    EXPECT_EQ(window.first, SwapEntry(fault.cluster(), slot));
    EXPECT_EQ(window.pages, pages);
  };
  expect(SwapEntry(7, 511), 504, 8);
  expect(SwapEntry(7, 13), 12, 4);
  expect(SwapEntry(7, 14), 14, 2);
  expect(SwapEntry(9, 100), 100, 1);
  for (int i = 0; i < 3; ++i) readahead.OnHit();
  expect(SwapEntry(2, 9), 8, 8);
  // The slot after the last of a cluster is the first of the next.
  for (int i = 0; i < 3; ++i) expect(SwapEntry(4, 511), 512 - (4 >> i), 4 >> i);
  expect(SwapEntry(5, 0), 0, 2);
}

// Spins, so as to go on at once; but lets others have the processor too.
void WaitFor(const std::atomic<int>& number, int at_least) {
  for (int spins = 0; number.load() < at_least; ++spins) {
    if (spins % 4096 == 0) std::this_thread::yield();
  }
}

// Two threads, let go at the same moment in each round; as many rounds as one
// second has, so that some are on two processors. Broken by: a load and a store
// instead of the exchange in OnHit (in most runs).
TEST(ReadaheadState, NoHitOfTwoThreadsIsLost) {
  constexpr int kRounds = 50'000;
  constexpr uint32_t kHits = 30;
  ReadaheadState state;
  std::atomic<int> ready{0};
  std::atomic<int> go{0};
  std::atomic<int> done{0};
  const auto hit = [&] {
    for (uint32_t i = 0; i < kHits; ++i) state.OnHit(i);
  };
  std::thread other([&] {
    for (int round = 1; go.load() != kRounds; ++round) {
      ready.store(round);
      WaitFor(go, round);
      hit();
      done.store(round);
    }
  });
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(1);
  int lost = 0;
  for (int round = 1; go.load() != kRounds; ++round) {
    WaitFor(ready, round);
    state.OnFault(0, 32);
    const bool last = std::chrono::steady_clock::now() >= end;
    go.store(last ? kRounds : round);
    hit();
    WaitFor(done, round);
    lost += state.hits() != 2 * kHits;
  }
  other.join();
  EXPECT_EQ(lost, 0);
}

// Broken by: adding without the bound (it runs into the window's bits).
TEST(ReadaheadState, HitsStopAtTheirField) {
  ReadaheadState state;
  for (int i = 0; i < 100; ++i) state.OnHit(3);
  EXPECT_EQ(state.hits(), 63u);
  const ReadaheadState::Step step = state.OnFault(4, 32);
  EXPECT_EQ(step.last, 3u);
  EXPECT_EQ(step.pages, 32u);
  EXPECT_EQ(state.hits(), 0u);
}

TEST(ReadaheadDeathTest, ACapIsAPowerOfTwoUpTo32) {
  EXPECT_DEATH(AddressReadahead(0), "check failed");
  EXPECT_DEATH(AddressReadahead(12), "check failed");
  EXPECT_DEATH(ClusterReadahead(64), "check failed");
}

}  // namespace
}  // namespace farswap::core

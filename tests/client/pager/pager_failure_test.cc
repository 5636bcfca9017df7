// Bad days of the pager: a server that is slow, gone, empty, full or lying,
// and a program that breaks the rules. Every page reads as what was last
// written, or raises SIGBUS; nothing else is a pass.
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <numeric>
#include <random>
#include <thread>
#include <vector>

#include "client/pager/pager.h"
#include "tests/client/pager/faulty_address_space.h"
#include "tests/client/pager/pager_fixture.h"

namespace farswap::pager {
namespace {

using std::chrono::milliseconds;
using Transport = remote::MemoryTransport;

constexpr uint64_t kLimit = 16 * kMiB;

class PagerFailureTest : public PagerTest {
 protected:
  // As Start(kLimit), with the address space at hand.
  void StartWithSpace() {
    Start(kLimit, 1024, std::chrono::seconds(30), 32 * kMiB,
          [this](AddressSpace* real) {
            space_ = real;
            return std::make_unique<FaultyAddressSpace>(real);
          });
  }
  // Takes a page away without anybody being told, as no program can: to where
  // another region has none.
  bool Vanish(char* page) {
    char* const other = AddRegion(2 * kMiB);
    return space_->MoveOut(other, page, kPageBytes).ok();
  }

  AddressSpace* space_ = nullptr;

  // A region of `bytes` whose page p holds stamp p, all of it remote.
  char* Remote(uint64_t bytes, bool huge = true) {
    char* const at = AddRegion(bytes, huge);
    Fill(at, bytes, 1);
    PushOut(regions_.back());
    return at;
  }
  static void Fill(char* at, uint64_t bytes, uint64_t stamp) {
    for (uint64_t p = 0; p < bytes / kPageBytes; ++p) {
      FillPage(at + p * kPageBytes, stamp + p);
    }
  }
  static void ExpectFilled(const char* at, uint64_t bytes, uint64_t stamp) {
    for (uint64_t p = 0; p < bytes / kPageBytes; ++p) {
      ASSERT_TRUE(PageIs(at + p * kPageBytes, stamp + p)) << "page " << p;
    }
  }
};

TEST_F(PagerFailureTest, OneCorruptGetIsRepeated) {
  Start(kLimit);
  const char* const at = Remote(4 * kMiB);
  transport_->CorruptNextGets(1);
  ExpectFilled(at, 4 * kMiB, 1);
  EXPECT_EQ(pager_->Stats().checksum_errors, 1u);
  EXPECT_EQ(pager_->Stats().pages_lost, 0u);
}

TEST_F(PagerFailureTest, CorruptBytesAreSigbusAndNeverRead) {
  Start(kLimit);
  const char* const at = Remote(4 * kMiB);
  transport_->CorruptNextGets(2);
  EXPECT_FALSE(IsReadable(at));
  EXPECT_FALSE(IsReadable(at));  // For good.
  EXPECT_EQ(pager_->Stats().checksum_errors, 2u);
  EXPECT_EQ(pager_->Stats().pages_lost, uint64_t{kPagesPerPart});
  // The block's other parts have sums of their own.
  for (uint64_t p = kPagesPerPart; p < 4 * kMiB / kPageBytes; ++p) {
    ASSERT_TRUE(PageIs(at + p * kPageBytes, 1 + p)) << "page " << p;
  }
}

TEST_F(PagerFailureTest, LostContentsAreSigbusAndLifeGoesOn) {
  Start(kLimit);
  char* const at = Remote(4 * kMiB);
  transport_->LoseContents();
  for (uint64_t p = 0; p < 4 * kMiB / kPageBytes; p += 7) {
    ASSERT_FALSE(IsReadable(at + p * kPageBytes)) << "page " << p;
  }
  // What is written from now on is safe on the server that came back empty.
  char* const more = AddRegion(64 * kMiB);
  Fill(more, 64 * kMiB, 5000);
  ExpectFilled(more, 64 * kMiB, 5000);
}

TEST_F(PagerFailureTest, FoliosOnTheirWayOutSurviveLostContents) {
  Start(kLimit);
  char* const at = AddRegion(8 * kMiB);
  Fill(at, 8 * kMiB, 1);
  transport_->Hold(Transport::kPut);
  ASSERT_EQ(pager_->PageOut(regions_.back()).value(), 8 * kMiB);
  transport_->LoseContents();
  transport_->Release(Transport::kPut);
  EXPECT_TRUE(Eventually([&] { return transport_->puts_under_way() == 0; }));
  ExpectFilled(at, 8 * kMiB, 1);
  EXPECT_EQ(pager_->Stats().pages_lost, 0u);
}

TEST_F(PagerFailureTest, AFaultTakesAFolioBackFromItsWayOut) {
  Start(kLimit);
  char* const at = AddRegion(4 * kMiB);
  Fill(at, 4 * kMiB, 1);
  transport_->Hold(Transport::kPut);
  ASSERT_EQ(pager_->PageOut(regions_.back()).value(), 4 * kMiB);
  // The first block is back without the server, and is written while its put
  // still holds the old bytes.
  Fill(at, 2 * kMiB, 9000);
  // Counted once the program goes on already.
  EXPECT_TRUE(Eventually([&] { return pager_->Stats().swpin_cached == 1; }));
  EXPECT_EQ(transport_->Stats().gets, 0u);
  transport_->Release(Transport::kPut);
  PushOut(regions_.back());
  ExpectFilled(at, 2 * kMiB, 9000);
  ExpectFilled(at + 2 * kMiB, 2 * kMiB, 1 + 2 * kMiB / kPageBytes);
}

TEST_F(PagerFailureTest, ASlowServerIsWaitedFor) {
  Start(kLimit);
  const char* const at = Remote(4 * kMiB);
  transport_->Hold(Transport::kGet);
  std::atomic<bool> right{false};
  std::thread reader([&] { right = PageIs(at, 1); });
  ASSERT_TRUE(transport_->WaitHeld(Transport::kGet, 1));
  EXPECT_FALSE(right.load());
  transport_->Release(Transport::kGet);
  reader.join();
  EXPECT_TRUE(right.load());
}

TEST_F(PagerFailureTest, PastTheDeadlineIsSigbusAndOthersAreServed) {
  Start(kLimit, 1024, milliseconds(300));
  const char* const at = Remote(4 * kMiB);
  char* const fresh = AddRegion(2 * kMiB);
  transport_->Hold(Transport::kGet);
  std::atomic<bool> readable{true};
  std::thread reader([&] { readable = IsReadable(at); });
  ASSERT_TRUE(transport_->WaitHeld(Transport::kGet, 1));
  Fill(fresh, kMiB, 1);  // Needs no server.
  ExpectFilled(fresh, kMiB, 1);
  reader.join();
  EXPECT_FALSE(readable.load());
  EXPECT_EQ(pager_->Stats().faults_failed, 1u);
  transport_->Release(Transport::kGet);
  // Only what was asked for in vain is lost.
  EXPECT_TRUE(PageIs(at + 2 * kMiB, 1 + 2 * kMiB / kPageBytes));
}

TEST_F(PagerFailureTest, ManyWaitersCostOneGet) {
  Start(kLimit);
  const char* const at = Remote(2 * kMiB);
  transport_->Hold(Transport::kGet);
  const uint64_t before = transport_->Stats().gets;
  const uint64_t faults = pager_->Stats().faults;
  std::vector<std::thread> readers;
  std::atomic<int> right{0};
  for (int t = 0; t < 8; ++t) {
    readers.emplace_back([&] { right += PageIs(at + kPageBytes * 3, 1 + 3); });
  }
  ASSERT_TRUE(transport_->WaitHeld(Transport::kGet, 1));
  EXPECT_TRUE(Eventually([&] { return pager_->Stats().faults >= faults + 8; }));
  transport_->Release(Transport::kGet);
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(right.load(), 8);
  EXPECT_EQ(transport_->Stats().gets - before, 1u);
}

TEST_F(PagerFailureTest, AFullServerTakesCleanCopiesBackThenFails) {
  // 16 clusters: 32 MiB; with 16 MiB local that is all there is.
  Start(kLimit, 16, milliseconds(300), 8 * kMiB);
  char* const at = AddRegion(64 * kMiB);
  Fill(at, 36 * kMiB, 1);
  ExpectFilled(at, 36 * kMiB, 1);
  int failed = 0;
  for (uint64_t i = 36 * kMiB; i < 64 * kMiB && failed == 0; i += kPmdBytes) {
    if (IsReadable(at + i)) {
      FillPage(at + i, i);  // Zeros would need no room.
    } else {
      ++failed;
    }
  }
  EXPECT_EQ(failed, 1);
  ExpectFilled(at, 36 * kMiB, 1);
}

TEST_F(PagerFailureTest, ZerosNeverCrossTheWire) {
  Start(kLimit);
  char* const at = AddRegion(64 * kMiB);
  for (uint64_t i = 0; i < 64 * kMiB; i += kPageBytes) at[i] = 0;
  for (uint64_t i = 0; i < 64 * kMiB; ++i) ASSERT_EQ(at[i], 0);
  const PagerStats stats = pager_->Stats();
  EXPECT_GT(stats.swpout_zero, 0u);
  EXPECT_GT(stats.swpin_zero, 0u);
  EXPECT_EQ(transport_->Stats().put_bytes, 0u);
  EXPECT_EQ(transport_->Stats().get_bytes, 0u);
}

TEST_F(PagerFailureTest, WhatDidNotChangeIsNotSentAgain) {
  Start(kLimit);
  const char* const at = Remote(8 * kMiB);
  const uint64_t sent = transport_->Stats().put_bytes;
  for (int turn = 0; turn < 3; ++turn) {
    ExpectFilled(at, 8 * kMiB, 1);
    char* const other = AddRegion(32 * kMiB);
    for (uint64_t i = 0; i < 32 * kMiB; i += kPageBytes) other[i] = 0;
  }
  EXPECT_EQ(transport_->Stats().put_bytes, sent);
  EXPECT_GT(pager_->Stats().swpout_clean, 0u);
}

TEST_F(PagerFailureTest, APageThatVanishedUnexplainedIsSigbusNotZeros) {
  StartWithSpace();
  char* const at = AddRegion(2 * kMiB);
  Fill(at, 2 * kMiB, 1);
  ASSERT_TRUE(Vanish(at + kMiB));
  EXPECT_FALSE(IsReadable(at + kMiB));
  EXPECT_TRUE(PageIs(at + kMiB + kPageBytes, 1 + kMiB / kPageBytes + 1));
}

TEST_F(PagerFailureTest, ARegionGoesWhileItsPutsAreUnderWay) {
  Start(kLimit);
  char* const at = AddRegion(24 * kMiB);
  transport_->Hold(Transport::kPut);
  Fill(at, 18 * kMiB, 1);
  ASSERT_TRUE(transport_->WaitHeld(Transport::kPut, 1));
  ASSERT_TRUE(pager_->DestroyRegion(regions_.front()).ok());
  regions_.clear();
  EXPECT_EQ(pager_->Stats().resident_bytes, 0u);
  EXPECT_EQ(pager_->Stats().remote_bytes, 0u);
  transport_->Release(Transport::kPut);
  EXPECT_TRUE(Eventually([&] { return transport_->puts_under_way() == 0; }));
  char* const next = AddRegion(32 * kMiB);
  Fill(next, 32 * kMiB, 7);
  ExpectFilled(next, 32 * kMiB, 7);
}

TEST_F(PagerFailureTest, EachWaiterEndsByItsOwnDeadline) {
  constexpr auto kDeadline = milliseconds(1000);
  Start(kLimit, 1024, kDeadline);
  const char* const at = Remote(2 * kMiB);
  transport_->Hold(Transport::kGet);
  const auto start = std::chrono::steady_clock::now();
  std::atomic<int> failed{0};
  std::vector<std::thread> readers;
  for (uint32_t part = 0; part < kPartsPerPmd; ++part) {
    readers.emplace_back(
        [&, part] { failed += !IsReadable(at + part * kPartBytes); });
  }
  for (std::thread& reader : readers) reader.join();
  // Were one's wait to begin when another's ends, it would be 32 deadlines.
  EXPECT_LT(std::chrono::steady_clock::now() - start, 8 * kDeadline);
  EXPECT_EQ(failed.load(), int{kPartsPerPmd});
  EXPECT_EQ(pager_->Stats().pages_lost, uint64_t{kPagesPerPmd});
}

TEST_F(PagerFailureTest, ACleanFolioOfALostClusterIsStoredAgain) {
  Start(kLimit);
  const char* const at = Remote(4 * kMiB);
  ExpectFilled(at, 2 * kMiB, 1);  // Resident, and as the slots have it.
  transport_->LoseContents();
  PushOut(regions_.back());
  ExpectFilled(at, 2 * kMiB, 1);
  EXPECT_FALSE(IsReadable(at + 2 * kMiB));
}

TEST_F(PagerFailureTest, AFullServerUnderRandomAccess) {
  // 32 MiB there and 16 MiB here for 44 MiB: slots come free one by one.
  for (const bool huge : {true, false}) {
    SCOPED_TRACE(huge);
    Start(kLimit, 16, std::chrono::seconds(20), 8 * kMiB);
    constexpr uint64_t kPages = 44 * kMiB / kPageBytes;
    char* const at = AddRegion(44 * kMiB, huge);
    Fill(at, 44 * kMiB, 1);
    std::vector<uint64_t> stamps(kPages);
    std::iota(stamps.begin(), stamps.end(), 1);
    std::mt19937_64 random(7);
    for (int i = 0; i < 4000; ++i) {
      const uint64_t page = random() % kPages;
      ASSERT_TRUE(IsReadable(at + page * kPageBytes)) << "page " << page;
      ASSERT_TRUE(PageIs(at + page * kPageBytes, stamps[page]));
      if (i % 2 == 0) FillPage(at + page * kPageBytes, ++stamps[page]);
    }
    for (uint64_t p = 0; p < kPages; ++p) {
      ASSERT_TRUE(PageIs(at + p * kPageBytes, stamps[p])) << "page " << p;
    }
    EXPECT_EQ(pager_->Stats().pages_lost, 0u);
    TearDown();
  }
}

TEST_F(PagerFailureTest, AnMprotectedPageSplitsOnlyItsFolio) {
  for (const bool huge : {true, false}) {
    SCOPED_TRACE(huge);
    Start(kLimit);
    char* const at = Remote(4 * kMiB, huge);
    char* const page = at + kMiB + 5 * kPageBytes;
    ASSERT_EQ(mprotect(page, kPageBytes, PROT_READ), 0);
    ExpectFilled(at, 4 * kMiB, 1);
    EXPECT_EQ(pager_->Stats().pages_lost, 0u);
    // What is not protected can go out again, neighbours included. smaps
    // tells of the mapping before the page, and of the one after.
    EXPECT_TRUE(Eventually([&] {
      return pager_->PageOut(regions_.back()).ok() &&
             SmapsKiB(at, "Rss") == 0 &&
             SmapsKiB(page + kPageBytes, "Rss") == 0;
    }));
    EXPECT_EQ(SmapsKiB(page, "Rss"), kPageBytes / 1024);
    ExpectFilled(at, 4 * kMiB, 1);
    EXPECT_EQ(pager_->Stats().pages_lost, 0u);
    TearDown();
  }
}

TEST_F(PagerFailureTest, MlockedPagesStayAndAreRight) {
  Start(kLimit);
  char* const at = AddRegion(2 * kMiB, /*huge=*/false);
  Fill(at, 2 * kMiB, 1);
  // Not by mlock(3), of which the sanitizers make nothing.
  ASSERT_EQ(syscall(SYS_mlock, at + kPageBytes, kMiB), 0);
  char* const other = AddRegion(32 * kMiB);
  Fill(other, 32 * kMiB, 5000);
  EXPECT_EQ(SmapsKiB(at + kPageBytes, "Rss"), kMiB / 1024);
  ExpectFilled(at, 2 * kMiB, 1);
  ExpectFilled(other, 32 * kMiB, 5000);
  EXPECT_EQ(pager_->Stats().pages_lost, 0u);
}

TEST_F(PagerFailureTest, AbortPolicyAborts) {
  StartWithSpace();
  char* const at = AddRegion(2 * kMiB, true, FailPolicy::kAbort);
  Fill(at, 2 * kMiB, 1);
  // The pager's threads are not in a forked child, so the death is played in
  // a child of its own by the death test's "threadsafe" style.
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        Vanish(at);
        IsReadable(at);
      },
      "policy is to abort");
}

// I23. Without the guard the worker would wait for itself until the deadline:
// seen, by leaving the workers out of those that Serve looks for.
TEST_F(PagerFailureTest, ALibraryThreadInFarMemoryIsTheEnd) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  Start(kLimit, 1024, std::chrono::seconds(2));
  char* const at = Remote(4 * kMiB);
  EXPECT_DEATH(
      {
        // On the thread that serves the fault.
        transport_->SetHook(Transport::kGet, [at](const remote::FolioRef&) {
          IsReadable(at + 2 * kMiB);
        });
        IsReadable(at);
      },
      "in far memory or staging, where it must not");
}

}  // namespace
}  // namespace farswap::pager

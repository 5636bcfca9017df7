// Folios that are kept for a while after they were taken out.
#include <chrono>
#include <cstdint>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "tests/client/pager/pager_fixture.h"

namespace farswap::pager {
namespace {

constexpr uint64_t kLimit = 32 * kMiB;  // May keep 1 MiB: 16 folios of 64 KiB.
constexpr uint64_t kBytes = 64 * kMiB;
constexpr uint64_t kPages = kBytes / kPageBytes;

class TakeOutKeepTest : public PagerTest {
 protected:
  // Writes a region of small folios once, in order, and waits until nothing
  // moves any more.
  void Fill() {
    memory_ = AddRegion(kBytes, /*huge=*/false);
    ASSERT_NE(memory_, nullptr);
    for (uint64_t page = 0; page < kPages; ++page) {
      FillPage(memory_ + page * kPageBytes, page);
    }
    ASSERT_TRUE(Eventually([&] {
      return transport_->puts_under_way() == 0 &&
             group_->ReclaimTarget() == 0 && group_->kept() > 0;
    })) << transport_->puts_under_way()
        << " puts, " << group_->ReclaimTarget() << " to go, " << group_->kept()
        << " kept";
  }
  bool IsRight(uint64_t page) {
    return PageIs(memory_ + page * kPageBytes, page);
  }
  // The last page of the folio that was taken out last: it is before what is
  // mapped. Finds it by reading backwards; it is read when this returns.
  uint64_t ReadToFirstFault() {
    uint64_t page = kPages;
    const uint64_t faults = pager_->Stats().faults;
    while (page > 0 && pager_->Stats().faults == faults) {
      EXPECT_TRUE(IsRight(--page));
    }
    return page;
  }

  char* memory_ = nullptr;
};

TEST_F(TakeOutKeepTest, AKeptFolioComesBackWithoutTheServer) {
  Start(kLimit);
  Fill();
  EXPECT_LE(group_->kept(), group_->keep_limit());
  EXPECT_LE(group_->usage(), group_->limit());
  // Backwards: what went out last is kept, but for what was put out of order.
  bool soft = false;
  for (uint64_t page = kPages; page > 0 && !soft; --page) {
    const PagerStats before = pager_->Stats();
    EXPECT_TRUE(IsRight(page - 1));
    if (pager_->Stats().faults == before.faults) continue;
    // Counted once the program goes on already.
    ASSERT_TRUE(Eventually([&] {
      const PagerStats now = pager_->Stats();
      return now.swpin_cached + now.refaults >
             before.swpin_cached + before.refaults;
    }));
    soft = pager_->Stats().swpin_cached > before.swpin_cached;
    if (soft) {
      EXPECT_EQ(pager_->Stats().refaults, before.refaults);
    }
  }
  EXPECT_TRUE(soft);
  EXPECT_TRUE(Eventually(
      [&] { return group_->Stats().active_pages >= kPagesPerPart; }));
  pager_->CheckInvariants();
}

TEST_F(TakeOutKeepTest, KeptFoliosAreDroppedWithoutAPutWhenRoomIsNeeded) {
  Start(kLimit);
  Fill();
  // Nothing can be stored any more, but there is this much room.
  const uint64_t room =
      group_->limit() - group_->usage() + group_->kept() - kPagesPerPart;
  transport_->Hold(Call::kPut);
  char* const more = AddRegion(kBytes, /*huge=*/false);
  for (uint64_t page = 0; page < room; ++page) {
    FillPage(more + page * kPageBytes, page);
  }
  transport_->Release(Call::kPut);
  for (uint64_t page = 0; page < kPages; ++page) ASSERT_TRUE(IsRight(page));
}

// Their bytes are here, so the server's loss is not theirs: they are put to
// another cluster before they are dropped.
TEST_F(TakeOutKeepTest, KeptFoliosSurviveLostContents) {
  Start(kLimit);
  Fill();
  const uint64_t kept = group_->kept();
  const uint64_t local = kept + pager_->Stats().resident_bytes / kPageBytes;
  transport_->LoseContents();
  char* const more = AddRegion(kBytes, /*huge=*/false);
  for (uint64_t page = 0; page < kPages; ++page) {
    FillPage(more + page * kPageBytes, page);
  }
  uint64_t right = 0;
  for (uint64_t page = 0; page < kPages; ++page) {
    if (!IsReadable(memory_ + page * kPageBytes)) continue;
    ASSERT_TRUE(IsRight(page)) << page;
    ++right;
  }
  // More, if some were on their way out; a few less, if some were between
  // capture and put when they were counted, and others went from the kept ones
  // for them.
  EXPECT_GE(right + 4 * kPagesPerPart, local);
}

TEST_F(TakeOutKeepTest, ARegionGoesWithWhatIsKeptOfIt) {
  Start(kLimit);
  Fill();
  Region* const region = regions_.front();
  char* const other = AddRegion(kPmdBytes, /*huge=*/false);
  FillPage(other, 7);
  regions_.erase(regions_.begin());
  ASSERT_TRUE(pager_->DestroyRegion(region).ok());
  EXPECT_EQ(group_->kept(), 0u);
  EXPECT_TRUE(PageIs(other, 7));
  pager_->CheckInvariants();
}

TEST_F(TakeOutKeepTest, WhatIsPagedOutOnRequestIsNotKept) {
  Start(kLimit);
  Fill();
  // What reclaim had on its way out may be kept still: asked again, it goes.
  EXPECT_TRUE(Eventually([&] {
    PushOut(regions_.front());
    return group_->usage() == 0;
  }));
  EXPECT_EQ(group_->kept(), 0u);
  EXPECT_TRUE(IsRight(kPages / 2));
}

// Staging too small to keep in: everything works without.
TEST_F(TakeOutKeepTest, NothingIsKeptInASmallStaging) {
  Start(kLimit, /*max_clusters=*/1024, std::chrono::seconds(30),
        /*staging_bytes=*/8 * kMiB);
  memory_ = AddRegion(kBytes, /*huge=*/false);
  for (uint64_t page = 0; page < kPages; ++page) {
    FillPage(memory_ + page * kPageBytes, page);
  }
  EXPECT_EQ(group_->kept(), 0u);
  for (uint64_t page = 0; page < kPages; ++page) ASSERT_TRUE(IsRight(page));
}

// Reads and writes of a few hot pages among many: some faults are soft, and
// every page is what was written last.
TEST_F(TakeOutKeepTest, RandomAccessIsRight) {
  Start(kLimit);
  Fill();
  std::mt19937 random(1);
  std::vector<uint64_t> stamp(kPages);
  for (uint64_t page = 0; page < kPages; ++page) stamp[page] = page;
  for (int i = 0; i < 20'000; ++i) {
    const uint64_t page = random() % (random() % 4 != 0 ? kPages / 4 : kPages);
    char* const at = memory_ + page * kPageBytes;
    ASSERT_TRUE(PageIs(at, stamp[page])) << page;
    if (random() % 4 == 0) FillPage(at, stamp[page] = random());
  }
  EXPECT_GT(pager_->Stats().swpin_cached, 0u);
  EXPECT_LE(group_->Stats().peak_pages, group_->limit() + 28 * kPagesPerPmd);
}

}  // namespace
}  // namespace farswap::pager

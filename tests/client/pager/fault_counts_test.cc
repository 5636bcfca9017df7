// What is counted of swap-ins that were to be larger, by cause; and of races
// that are not to be told as out of memory.
#include <errno.h>
#include <sys/mman.h>

#include <memory>
#include <thread>
#include <vector>

#include "client/pager/fault_path.h"
#include "tests/client/pager/faulty_address_space.h"
#include "tests/client/pager/hints_fixture.h"

namespace farswap::pager {
namespace {

using core::CacheAlloc;
using core::CacheError;
using core::SwapWord;

CacheAlloc Refused(CacheError error, uint32_t conflict, uint32_t alloc) {
  CacheAlloc cache;
  cache.error = error;
  cache.fallbacks.conflict = conflict;
  cache.fallbacks.alloc = alloc;
  return cache;
}

TEST(SpuriousOomTest, IsOutOfMemoryThatWasNone) {
  const SwapWord owned = SwapWord::Attached(7).ToShadow(1).WithCount(1);
  const SwapWord unowned = SwapWord::Attached(7).ToShadow(1);
  const SwapWord cached = SwapWord::Attached(7);
  ASSERT_TRUE(owned.is_shadow());
  ASSERT_EQ(owned.count(), 1u);
  // Memory was short, and the slot is as it was.
  EXPECT_FALSE(IsSpuriousOom(Refused(CacheError::kNoMem, 0, 1), owned));
  EXPECT_FALSE(IsSpuriousOom(Refused(CacheError::kNoMem, 1, 1), owned));
  // Races, told as such.
  EXPECT_FALSE(IsSpuriousOom(Refused(CacheError::kExist, 0, 0), cached));
  EXPECT_FALSE(IsSpuriousOom(Refused(CacheError::kNoEnt, 0, 0), SwapWord()));
  // Nobody was short of memory.
  EXPECT_TRUE(IsSpuriousOom(Refused(CacheError::kNoMem, 1, 0), owned));
  // The slot has changed hands.
  EXPECT_TRUE(IsSpuriousOom(Refused(CacheError::kNoMem, 0, 1), cached));
  EXPECT_TRUE(IsSpuriousOom(Refused(CacheError::kNoMem, 0, 1), unowned));
  EXPECT_TRUE(IsSpuriousOom(Refused(CacheError::kNoMem, 0, 1), SwapWord()));
  // A folio is none at all.
  core::Folio folio;
  CacheAlloc got = Refused(CacheError::kNoMem, 0, 0);
  got.folio = &folio;
  EXPECT_FALSE(IsSpuriousOom(got, cached));
}

class FaultCountsTest : public HintsTest {
 protected:
  using Transport = remote::MemoryTransport;

  uint64_t Fallbacks(ThpFallback cause) const {
    return pager_->Stats().thp_swpin_fallbacks[static_cast<size_t>(cause)];
  }
  // Walks the blocks, so that they are a stream and wanted whole.
  void Walk(const char* at, uint64_t first, uint64_t end) {
    for (uint64_t b = first; b < end; ++b) {
      ASSERT_TRUE(IsReadable(at + b * kPmdBytes + kMiB));
    }
  }
  // Only the cause, and the sum with it, has counted.
  void ExpectOnly(ThpFallback cause) {
    EXPECT_TRUE(Eventually([&] { return Fallbacks(cause) > 0; }));
    const PagerStats stats = pager_->Stats();
    EXPECT_EQ(stats.thp_swpin_fallback,
              stats.thp_swpin_fallbacks[static_cast<size_t>(cause)]);
    EXPECT_EQ(stats.fault_spurious_oom, 0u);
  }
};

TEST_F(FaultCountsTest, NothingFallsBackWhereBlocksComeWhole) {
  Start(64 * kMiB);
  const char* const at = Filled(16 * kMiB);
  PushOut(region());
  Walk(at, 0, 8);
  EXPECT_TRUE(Eventually([&] { return pager_->Stats().thp_swpin == 8; }));
  EXPECT_EQ(pager_->Stats().thp_swpin_fallback, 0u);
}

TEST_F(FaultCountsTest, APartThatIsZeros) {
  Start(64 * kMiB);
  const char* const at = Filled(4 * kMiB);
  PushOut(region());
  ASSERT_TRUE(hints().Discard(region(), 2 * kMiB, kPartBytes).ok());
  Walk(at, 1, 2);
  ExpectOnly(ThpFallback::kZero);
}

TEST_F(FaultCountsTest, APartThatIsResident) {
  Start(64 * kMiB);
  const char* const at = Filled(4 * kMiB);
  PushOut(region());
  ASSERT_TRUE(hints().Prefetch(region(), 2 * kMiB, kPartBytes).ok());
  EXPECT_TRUE(Eventually([&] {
    return Count(PageState::kResident, 2 * kMiB, kPartBytes) == kPagesPerPart;
  }));
  Walk(at, 1, 2);
  ExpectOnly(ThpFallback::kConflict);
}

TEST_F(FaultCountsTest, ABlockThatArrivesInSmallPages) {
  FaultyAddressSpace* space = nullptr;
  Start(64 * kMiB, 1024, std::chrono::seconds(30), 32 * kMiB,
        [&](AddressSpace* real) {
          auto faulty = std::make_unique<FaultyAddressSpace>(real);
          space = faulty.get();
          return faulty;
        });
  const char* const at = Filled(2 * kMiB);
  PushOut(region());
  space->FailNext(FaultyAddressSpace::kMoveIn, EBUSY, 0, 1);
  Walk(at, 0, 1);
  ExpectOnly(ThpFallback::kPmd);
  ExpectFilled(at, 0, 512);
}

TEST_F(FaultCountsTest, NoStagingToReceiveInto) {
  Start(64 * kMiB, 1024, std::chrono::seconds(30), 8 * kMiB);
  const char* const at = Filled(32 * kMiB);
  PushOut(region());
  transport_->Hold(Transport::kGet);
  // More at a time than there are blocks of staging, too far apart to be a
  // stream.
  std::vector<std::thread> readers;
  for (const uint64_t block : {0, 6, 12, 3, 9, 15}) {
    readers.emplace_back([&, block] {
      EXPECT_TRUE(PageIs(at + block * kPmdBytes, block * kPagesPerPmd + 1));
    });
  }
  EXPECT_TRUE(transport_->WaitHeld(Transport::kGet, 6));
  EXPECT_GT(Fallbacks(ThpFallback::kStaging), 0u);
  EXPECT_GT(pager_->Stats().swpin_fallback[kPmdOrder], 0u);
  transport_->Release(Transport::kGet);
  for (std::thread& reader : readers) reader.join();
  ExpectOnly(ThpFallback::kStaging);
}

TEST_F(FaultCountsTest, NoRoomUnderTheLimit) {
  Start(16 * kMiB, 1024, std::chrono::milliseconds(400), 8 * kMiB);
  const char* const at = Filled(4 * kMiB);
  PushOut(region());
  // What is written from here on goes nowhere.
  transport_->Hold(Transport::kPut);
  char* const other = AddRegion(64 * kMiB, /*huge=*/false);
  for (uint64_t p = 0; p < 64 * kMiB / kPageBytes; ++p) {
    if (!IsReadable(other + p * kPageBytes)) break;
    FillPage(other + p * kPageBytes, p + 1);
  }
  (void)IsReadable(at);
  EXPECT_GT(Fallbacks(ThpFallback::kCharge), 0u);
  EXPECT_EQ(pager_->Stats().fault_spurious_oom, 0u);
}

TEST_F(FaultCountsTest, FoliosThatGoOutInParts) {
  Start(64 * kMiB);
  char* const at = Filled(2 * kMiB);
  ASSERT_EQ(mprotect(at + kMiB, kPageBytes, PROT_READ), 0);
  // One pass ends where no put has a place any more.
  EXPECT_TRUE(Eventually([&] {
    return pager_->PageOut(region()).ok() &&
           pager_->Stats().swpout_fallback[kPartOrder] == 1;
  }));
  EXPECT_EQ(pager_->Stats().swpout_fallback[kPmdOrder], 1u);
  ExpectFilled(at, 0, 512);
}

}  // namespace
}  // namespace farswap::pager

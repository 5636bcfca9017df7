// Streams through blocks that are in pieces: neighbours share an RPC.
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "client/pager/hints.h"
#include "client/pager/pager.h"
#include "tests/client/pager/hints_fixture.h"

namespace farswap::pager {
namespace {

constexpr uint64_t kParts = kPmdBytes / kPartBytes;

class AlongTest : public HintsTest {
 protected:
  // A block of which all but a page is remote: it cannot come whole.
  const char* BlockInPieces() {
    Start(64 * kMiB);
    const char* const at = Filled(kPmdBytes);
    PushOut(region());
    EXPECT_TRUE(
        hints().Discard(region(), kPmdBytes - kPageBytes, kPageBytes).ok());
    transport_->SetHook(Call::kGet,
                        [this](const remote::FolioRef&) { ++rpcs_; });
    return at;
  }
  // Reads all but the last part, in order.
  void Walk(const char* at, bool down) {
    for (uint64_t i = 0; i + 1 < kParts; ++i) {
      const uint64_t part = down ? kParts - 2 - i : i;
      ExpectFilled(at, part * kPagesPerPart, (part + 1) * kPagesPerPart);
    }
  }

  std::atomic<int> rpcs_{0};
};

TEST_F(AlongTest, AStreamUpNeedsAFewRpcs) {
  const char* const at = BlockInPieces();
  Walk(at, /*down=*/false);
  // 1, 2, 4, 8, 8, 8 parts and one: what there is of the last is mapped page by
  // page.
  ExpectFilled(at, 0, kPagesPerPmd - 1);
  EXPECT_EQ(rpcs_, 7);
  EXPECT_EQ(pager_->Stats().swap_ra, 25u);
  EXPECT_EQ(pager_->Stats().swap_ra_hit, 25u);
  EXPECT_EQ(pager_->Stats().swpin[kPartOrder], kParts);
  EXPECT_TRUE(IsZeroPage(at + kPmdBytes - kPageBytes));
}

TEST_F(AlongTest, AStreamDownToo) {
  const char* const at = BlockInPieces();
  // 1, 2, 4, 8, 8 and the 8 that are left.
  Walk(at, /*down=*/true);
  EXPECT_EQ(rpcs_, 6);
  EXPECT_EQ(pager_->Stats().swap_ra, 25u);
}

TEST_F(AlongTest, WhatFollowsNoOrderComesByItself) {
  const char* const at = BlockInPieces();
  for (const uint64_t part : {0, 14, 28, 5, 19}) {
    ExpectFilled(at, part * kPagesPerPart, (part + 1) * kPagesPerPart);
  }
  EXPECT_EQ(rpcs_, 5);
  EXPECT_EQ(pager_->Stats().swap_ra, 0u);
}

TEST_F(AlongTest, AWrongByteOfANeighbourIsNobodysLoss) {
  const char* const at = BlockInPieces();
  ExpectFilled(at, 0, kPagesPerPart);
  transport_->CorruptNextGets(1);
  Walk(at, /*down=*/false);
  EXPECT_GE(pager_->Stats().checksum_errors, 1u);
  EXPECT_EQ(pager_->Stats().pages_lost, 0u);
}

TEST_F(AlongTest, AFailureOfAllIsNotOneOfTheFirst) {
  const char* const at = BlockInPieces();
  ExpectFilled(at, 0, kPagesPerPart);
  transport_->FailNext(Call::kGet, absl::DataLossError("one of them"), 1);
  Walk(at, /*down=*/false);
  EXPECT_EQ(pager_->Stats().pages_lost, 0u);
  // One failed, one for the first alone, and then it begins anew: 2, 4, 8,
  // 8, 7.
  EXPECT_EQ(rpcs_, 8);
}

// Threads that want the neighbours while they are being read.
TEST_F(AlongTest, WhoWaitsForANeighbourIsServedWithIt) {
  const char* const at = BlockInPieces();
  // Until the window is 8 parts.
  constexpr uint64_t kFirst = 7;
  ExpectFilled(at, 0, kFirst * kPagesPerPart);
  rpcs_ = 0;
  const PagerStats before = pager_->Stats();
  transport_->Hold(Call::kGet);
  std::vector<std::thread> readers;
  for (uint64_t part = kFirst; part < kFirst + 8; ++part) {
    readers.emplace_back([=] {
      EXPECT_TRUE(PageIs(at + part * kPartBytes, part * kPagesPerPart + 1));
    });
    // The first one's read is under way, with the others in it.
    ASSERT_TRUE(part > kFirst || transport_->WaitHeld(Call::kGet, 1));
  }
  EXPECT_TRUE(
      Eventually([&] { return pager_->Stats().faults >= before.faults + 8; }));
  transport_->Release(Call::kGet);
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(rpcs_, 1);
  EXPECT_EQ(pager_->Stats().swap_ra, before.swap_ra + 7);
}

}  // namespace
}  // namespace farswap::pager

// The program moves pages (mremap) while an operation of the pager on them is
// half done: what is there becomes folios of one page, what is not stays in its
// slots, and all of it reads as it was written.
#include <errno.h>
#include <sys/mman.h>

#include <atomic>
#include <thread>

#include "client/pager/pager.h"
#include "tests/client/pager/faulty_address_space.h"
#include "tests/client/pager/map_fixture.h"

namespace farswap::pager {
namespace {

using Op = FaultyAddressSpace::Op;

// A folio of which the first `done` pages are installed, or captured, when all
// from page `moved` on are moved away.
struct Half {
  bool huge;
  uint64_t pages;
  uint64_t done;
  uint64_t moved;
};

class MapMovesHalfTest : public MapFixture,
                         public testing::WithParamInterface<Half> {
 protected:
  void SetUp() override {
    Start(64 * kMiB, 1024, std::chrono::seconds(120), 32 * kMiB,
          [&](AddressSpace* real) {
            auto space = std::make_unique<FaultyAddressSpace>(real);
            space_ = space.get();
            return space;
          });
    room_ = Room(GetParam().pages, /*skew=*/3);
    at_ = AddRegion(2 * kMiB, GetParam().huge);
  }
  void TearDown() override {
    if (mover_.joinable()) mover_.join();
    MapFixture::TearDown();
  }

  // Moves the end of the folio there, on a thread of its own, as that sleeps
  // until the move is applied; returns when the pager has read of it.
  void MoveEnd(char* home) {
    const Half half = GetParam();
    char* const from = home + half.moved * kPageBytes;
    mover_ = std::thread([this, half, from] {
      if (MoveTo(from, half.pages - half.moved, room_) == room_) ++moves_;
    });
    EXPECT_TRUE(Eventually([&] { return space_->IsMoving(from, kPageBytes); }));
    is_read_ = true;
  }
  void MoveInTheMiddleOf(Op op) {
    space_->InTheMiddleOfNext(op, GetParam().done * kPageBytes,
                              [this](char* home) { MoveEnd(home); });
  }
  void AwaitMove() {
    // The first half may have woken who asked for it.
    ASSERT_TRUE(Eventually([&] { return is_read_.load(); }));
    mover_.join();
    ASSERT_EQ(moves_, 1);
    // Applied: so it is known where all of the region is.
    ASSERT_TRUE(Eventually([&] {
      return !space_->IsMoving(room_, kPageBytes) &&
             !space_->IsMoving(at_, 2 * kMiB);
    }));
  }
  char* Page(uint64_t p) const {
    const Half half = GetParam();
    if (p < half.moved || p >= half.pages) return at_ + p * kPageBytes;
    return room_ + (p - half.moved) * kPageBytes;
  }
  uint64_t Resident() const {
    return pager_->Stats().resident_bytes / kPageBytes;
  }
  // For what is there; what was charged beside it is given back a bit later.
  bool EventuallyCharged() const {
    return Eventually([&] { return group_->usage() == Resident(); });
  }
  uint64_t Remote() const { return pager_->Stats().remote_bytes / kPageBytes; }
  void ExpectAll(uint64_t salt = 0) {
    for (uint64_t p = 0; p < GetParam().pages; ++p) {
      ASSERT_TRUE(PageIs(Page(p), p + salt)) << "page " << p;
    }
    EXPECT_EQ(pager_->Stats().pages_lost, 0u);
  }
  // They are the region's wherever they are: out, back, and written anew.
  void ExpectAllForGood() {
    ExpectAll();
    for (uint64_t salt : {0, 4000}) {
      PushOutPages();
      ExpectAll(salt);
      for (uint64_t p = 0; p < GetParam().pages; ++p) {
        FillPage(Page(p), p + 4000);
      }
    }
    ExpectAll(/*salt=*/4000);
  }
  void PushOutPages() {
    EXPECT_TRUE(Eventually([&] {
      return pager_->PageOut(regions_[0]).ok() && Resident() == 0 &&
             group_->usage() == 0 && transport_->puts_under_way() == 0;
    }));
    EXPECT_EQ(SmapsKiB(at_, "Rss"), 0u);
    EXPECT_EQ(SmapsKiB(room_, "Rss"), 0u);
  }

  FaultyAddressSpace* space_ = nullptr;
  char* at_ = nullptr;
  char* room_ = nullptr;
  std::thread mover_;
  std::atomic<bool> is_read_{false};
  std::atomic<int> moves_{0};
};

TEST_P(MapMovesHalfTest, FirstTouch) {
  const Half half = GetParam();
  MoveInTheMiddleOf(half.huge ? Op::kMoveIn : Op::kCopyIn);
  FillPage(at_, 0);
  AwaitMove();
  // What is there is accounted for, page by page.
  EXPECT_EQ(Resident(), half.done > half.moved ? half.done : half.moved);
  EXPECT_TRUE(EventuallyCharged());
  for (uint64_t p = 1; p < half.pages; ++p) {
    ExpectZeros(Page(p), 0, 1);
    FillPage(Page(p), p);
  }
  ExpectAllForGood();
}

TEST_P(MapMovesHalfTest, ComingBack) {
  const Half half = GetParam();
  Fill(at_, 0, half.pages);
  PushOut(regions_[0]);
  MoveInTheMiddleOf(half.huge ? Op::kMoveIn : Op::kCopyIn);
  EXPECT_TRUE(PageIs(at_, 0));
  AwaitMove();
  EXPECT_EQ(Resident() + Remote(), half.pages);
  EXPECT_TRUE(EventuallyCharged());
  ExpectAllForGood();
}

TEST_P(MapMovesHalfTest, ComingBackFromStaging) {
  const Half half = GetParam();
  Fill(at_, 0, half.pages);
  transport_->Hold(Call::kPut);
  ASSERT_TRUE(pager_->PageOut(regions_[0]).ok());
  ASSERT_TRUE(transport_->WaitHeld(Call::kPut, 1));
  MoveInTheMiddleOf(Op::kCopyIn);
  EXPECT_TRUE(PageIs(at_, 0));
  AwaitMove();
  // No server is needed for the rest.
  ExpectAll();
  transport_->Release(Call::kPut);
  ExpectAllForGood();
}

TEST_P(MapMovesHalfTest, GoingOut) {
  const Half half = GetParam();
  Fill(at_, 0, half.pages);
  MoveInTheMiddleOf(Op::kMoveOut);
  ASSERT_TRUE(pager_->PageOut(regions_[0]).ok());
  AwaitMove();
  ASSERT_TRUE(Eventually([&] { return transport_->puts_under_way() == 0; }));
  // What was captured, and could not be put back.
  const uint64_t stay = half.done > half.moved ? half.done - half.moved : 0;
  EXPECT_EQ(Remote(), stay);
  EXPECT_EQ(Resident(), half.pages - stay);
  EXPECT_TRUE(EventuallyCharged());
  ExpectAllForGood();
}

// It had slots already, and its bytes in them are older.
TEST_P(MapMovesHalfTest, GoingOutAnew) {
  const Half half = GetParam();
  Fill(at_, 0, half.pages, /*salt=*/9000);
  PushOut(regions_[0]);
  Fill(at_, 0, half.pages);
  MoveInTheMiddleOf(Op::kMoveOut);
  ASSERT_TRUE(pager_->PageOut(regions_[0]).ok());
  AwaitMove();
  ExpectAllForGood();
}

INSTANTIATE_TEST_SUITE_P(Folios, MapMovesHalfTest,
                         testing::Values(Half{true, 512, 3, 256},
                                         Half{true, 512, 300, 256},
                                         Half{false, 16, 3, 8},
                                         Half{false, 16, 12, 8}),
                         [](const auto& info) {
                           return (info.param.huge ? "Block" : "Part") +
                                  std::to_string(info.param.done);
                         });

// The move is read between two questions about what the kernel's refusal meant:
// no discard, after which the page would be zeros.
class MapMovesJustNowTest : public MapMovesHalfTest {
 protected:
  void FillDiscarded() {
    Fill(at_, 0, 16);
    Fill(at_, 100, 1);
    ASSERT_EQ(Discard(at_, 100, 1), 0);
    ExpectZeros(at_, 100, 1);
  }
};

TEST_P(MapMovesJustNowTest, AnInstallLeavesItInItsSlot) {
  FillDiscarded();
  PushOut(regions_[0]);
  space_->FailNext(Op::kCopyIn, ENOMEM, GetParam().done * kPageBytes, 2);
  space_->AfterNextQuestion([&] { MoveEnd(at_); });
  EXPECT_TRUE(PageIs(at_, 0));
  AwaitMove();
  ExpectAllForGood();
}

TEST_P(MapMovesJustNowTest, ACaptureKeepsIt) {
  FillDiscarded();
  const size_t captured = GetParam().done * kPageBytes;
  space_->FailNext(Op::kMoveOut, EBUSY, captured, 1);
  space_->FailNext(Op::kMoveIn, ENOMEM, captured - kPageBytes, 2);
  space_->AfterNextQuestion([&] { MoveEnd(at_); });
  ASSERT_TRUE(pager_->PageOut(regions_[0]).ok());
  AwaitMove();
  ExpectAllForGood();
}

INSTANTIATE_TEST_SUITE_P(LastPage, MapMovesJustNowTest,
                         testing::Values(Half{false, 16, 15, 14},
                                         Half{false, 16, 15, 15}),
                         [](const auto& info) {
                           return "From" + std::to_string(info.param.moved);
                         });

}  // namespace
}  // namespace farswap::pager

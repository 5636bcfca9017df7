// One table: operation of the address space x errno x how much was done
// before. After each the bytes are right, or SIGBUS where that is the answer,
// and nothing hangs or leaks (TearDown checks).
#include <errno.h>

#include <ostream>
#include <string>

#include "client/pager/pager.h"
#include "tests/client/pager/faulty_address_space.h"
#include "tests/client/pager/pager_fixture.h"

namespace farswap::pager {
namespace {

using Op = FaultyAddressSpace::Op;

struct Case {
  Op op;
  int error;
  size_t part;  // Bytes done before the error.
  int times;
  bool huge;  // The region begins with 2 MiB folios.
  bool lost;  // Some page may be SIGBUS.

  friend std::ostream& operator<<(std::ostream& out, const Case& c) {
    return out << "op " << c.op << " errno " << c.error << " after " << c.part
               << " bytes, " << c.times << " times, huge " << c.huge;
  }
};

class PagerErrnoTest : public PagerTest,
                       public testing::WithParamInterface<Case> {
 protected:
  static constexpr uint64_t kBytes = 40 * kMiB;
  static constexpr uint64_t kPages = kBytes / kPageBytes;

  void StartFaulty() {
    Start(16 * kMiB, 1024, std::chrono::seconds(20), 16 * kMiB,
          [&](AddressSpace* real) {
            auto space = std::make_unique<FaultyAddressSpace>(real);
            space_ = space.get();
            return space;
          });
  }
  void Arm() {
    const Case& c = GetParam();
    space_->FailNext(c.op, c.error, c.part, c.times);
  }
  // Every page is as it was written, or SIGBUS where that is allowed.
  void ExpectRight(const char* at, uint64_t stamp) {
    for (uint64_t p = 0; p < kPages; ++p) {
      const char* const page = at + p * kPageBytes;
      if (GetParam().lost && !IsReadable(page)) {
        ++sigbus_;
        continue;
      }
      ASSERT_TRUE(PageIs(page, stamp + p)) << "page " << p;
    }
  }
  static bool TryFill(char* page, uint64_t stamp) {
    if (!IsReadable(page)) return false;
    FillPage(page, stamp);
    return true;
  }

  FaultyAddressSpace* space_ = nullptr;
  uint64_t sigbus_ = 0;
};

TEST_P(PagerErrnoTest, BytesAreRightOrSigbus) {
  const Case& c = GetParam();
  StartFaulty();
  char* const at = AddRegion(kBytes, c.huge);
  Arm();  // First touches and the first taking out.
  for (uint64_t p = 0; p < kPages; ++p) {
    if (!TryFill(at + p * kPageBytes, 1 + p)) {
      ASSERT_TRUE(c.lost) << "page " << p;
    }
  }
  ExpectRight(at, 1);
  const int before = space_->failed(c.op);
  EXPECT_GT(before, 0);
  Arm();  // Coming back, and going out again.
  ExpectRight(at, 1);
  ExpectRight(at, 1);
  EXPECT_GT(space_->failed(c.op), before);
  EXPECT_LE(sigbus_, 8 * kPagesPerPmd);
  EXPECT_EQ(sigbus_ > 0, pager_->Stats().pages_lost > 0);
}

using PagerTableTest = PagerErrnoTest;

// A block that went out in parts has a page table left.
TEST_P(PagerTableTest, ATableThatIsNotDroppedCostsTheHugePage) {
  StartFaulty();
  char* const at = AddRegion(kPmdBytes);
  for (uint64_t p = 0; p < kPagesPerPmd; ++p) {
    FillPage(at + p * kPageBytes, 1 + p);
  }
  space_->FailNext(Op::kMoveOut, EINVAL, 0, 1);
  PushOut(regions_.back());
  Arm();
  for (uint64_t p = 0; p < kPagesPerPmd; ++p) {
    EXPECT_TRUE(PageIs(at + p * kPageBytes, 1 + p)) << p;
  }
  EXPECT_EQ(space_->failed(Op::kDropTable), 1);
  EXPECT_EQ(pager_->Stats().thp_swpin, 0u);
}

INSTANTIATE_TEST_SUITE_P(
    Table, PagerTableTest,
    testing::Values(Case{Op::kDropTable, ENOMEM, 0, 1, true, false},
                    Case{Op::kDropTable, EAGAIN, 0, 1, true, false}));

using PagerPoisonTest = PagerErrnoTest;

TEST_P(PagerPoisonTest, APageThatCannotBePoisonedAtFirstIsSigbusInTheEnd) {
  const Case& c = GetParam();
  StartFaulty();
  char* const at = AddRegion(4 * kMiB, /*huge=*/false);
  FillPage(at, 1);
  PushOut(regions_.back());
  space_->FailNext(Op::kCopyIn, ESRCH, 0, 1);
  Arm();
  EXPECT_FALSE(IsReadable(at));
  EXPECT_EQ(space_->failed(c.op), c.times);
  EXPECT_EQ(pager_->Stats().pages_lost, uint64_t{kPagesPerPart});
}

INSTANTIATE_TEST_SUITE_P(
    Poison, PagerPoisonTest,
    testing::Values(Case{Op::kPoison, ENOMEM, 0, 3, false, true},
                    Case{Op::kPoison, EAGAIN, kPageBytes, 1, false, true}));

constexpr size_t kSome = 3 * kPageBytes;

INSTANTIATE_TEST_SUITE_P(
    Table, PagerErrnoTest,
    testing::Values(
        // Refused captures leave the folio where it is.
        Case{Op::kMoveOut, EBUSY, 0, 3, true, false},
        Case{Op::kMoveOut, EBUSY, kSome, 3, true, false},
        Case{Op::kMoveOut, EBUSY, kSome, 3, false, false},
        Case{Op::kMoveOut, EINVAL, 0, 3, false, false},
        Case{Op::kMoveOut, EAGAIN, 0, 3, true, false},
        Case{Op::kMoveOut, EAGAIN, kSome, 3, false, false},
        Case{Op::kMoveOut, ENOMEM, kSome, 3, true, false},
        Case{Op::kMoveOut, EFAULT, 0, 3, true, false},
        // Installs are tried again, or finished by copying.
        Case{Op::kMoveIn, EAGAIN, 0, 2, true, false},
        Case{Op::kMoveIn, EBUSY, 0, 2, true, false},
        Case{Op::kMoveIn, EINVAL, 0, 2, true, false},
        Case{Op::kMoveIn, ENOMEM, 0, 2, true, false},
        Case{Op::kMoveIn, EAGAIN, kSome, 2, true, false},
        Case{Op::kMoveIn, ENOMEM, kSome, 2, true, false},
        Case{Op::kCopyIn, EAGAIN, 0, 2, false, false},
        Case{Op::kCopyIn, ENOMEM, 0, 2, false, false},
        Case{Op::kCopyIn, EAGAIN, kSome, 2, false, false},
        Case{Op::kCopyIn, ENOMEM, kPageBytes, 2, false, false},
        // What cannot be mended is SIGBUS: half an install that never ends.
        Case{Op::kCopyIn, ENOMEM, kPageBytes, 60, false, true},
        // A page where none should be; a region that is not as it was made.
        Case{Op::kCopyIn, EEXIST, 0, 1, false, true},
        Case{Op::kMoveIn, EEXIST, 0, 1, true, true},
        Case{Op::kCopyIn, ENOENT, 0, 1, false, true},
        Case{Op::kCopyIn, ESRCH, 0, 1, false, true},
        // No effect but on speed.
        Case{Op::kZap, EINVAL, 0, 1, false, false}));

}  // namespace
}  // namespace farswap::pager

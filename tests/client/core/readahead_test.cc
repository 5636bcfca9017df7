// Beside each test stands what was broken once to see it fail.
#include "client/core/readahead.h"

#include "gtest/gtest.h"

namespace farswap::core {
namespace {

// Broken by: hits + 1; the cap before the half of the window before.
TEST(ReadaheadTest, FollowsTheHitsTheNeighboursAndTheWindowBefore) {
  // No hit: the page, or two if the fault before was next to it.
  EXPECT_EQ(ReadaheadWindow(0, false, 0, 32), 1u);
  EXPECT_EQ(ReadaheadWindow(0, true, 0, 32), 2u);
  // Hits and two more, up to a power of two from 4 on.
  EXPECT_EQ(ReadaheadWindow(1, false, 0, 32), 4u);
  EXPECT_EQ(ReadaheadWindow(2, true, 0, 32), 4u);
  EXPECT_EQ(ReadaheadWindow(3, false, 0, 32), 8u);
  EXPECT_EQ(ReadaheadWindow(6, false, 0, 32), 8u);
  EXPECT_EQ(ReadaheadWindow(7, false, 0, 32), 16u);
  EXPECT_EQ(ReadaheadWindow(30, false, 0, 32), 32u);
  EXPECT_EQ(ReadaheadWindow(31, false, 0, 32), 32u);
  EXPECT_EQ(ReadaheadWindow(63, false, 0, 8), 8u);
  // Never below half of the window before,
  EXPECT_EQ(ReadaheadWindow(0, false, 32, 32), 16u);
  EXPECT_EQ(ReadaheadWindow(0, true, 2, 32), 2u);
  EXPECT_EQ(ReadaheadWindow(1, false, 16, 32), 8u);
  // nor above the cap.
  EXPECT_EQ(ReadaheadWindow(0, false, 32, 8), 8u);
  EXPECT_EQ(ReadaheadWindow(40, true, 32, 1), 1u);
}

// Broken by: the half of the window before left out.
TEST(ReadaheadTest, AStreamOfFullUseDoublesItAndWhatIsOfNoUseHalvesIt) {
  uint32_t window = 0;
  for (const uint32_t want : {2, 4, 8, 16, 32, 32}) {
    window =
        ReadaheadWindow(window == 0 ? 0 : window - 1, window == 0, window, 32);
    EXPECT_EQ(window, want);
  }
  for (const uint32_t want : {16, 8, 4, 2, 1, 1}) {
    window = ReadaheadWindow(0, false, window, 32);
    EXPECT_EQ(window, want);
  }
}

}  // namespace
}  // namespace farswap::core

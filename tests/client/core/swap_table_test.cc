#include "client/core/swap_table.h"

#include <set>

#include "gtest/gtest.h"

namespace farswap::core {
namespace {

TEST(SwapWord, NullIsZeroAndBadIsAllOnes) {
  EXPECT_EQ(SwapWord().raw(), 0u);
  EXPECT_TRUE(SwapWord().is_null());
  EXPECT_EQ(SwapWord::Bad().type(), SwapWord::Type::kBad);
  EXPECT_EQ(SwapWord::Bad().raw(), ~uint64_t{0});
}

// The drawing at the top of swap_table.h, field by field.
TEST(SwapWord, FieldsAreWhereTheDrawingSays) {
  const SwapWord word = SwapWord::Attached(5).WithCount(3).WithSum(0xfeedface);
  EXPECT_EQ(word.raw(), uint64_t{0xfeedface} << 32 | 5 << 7 | 3 << 2 | 2);
  EXPECT_EQ(word.WithZero(true).raw(), word.raw() | 1 << 5);
  EXPECT_EQ(word.WithTail().raw(), uint64_t{5} << 7 | 1 << 6 | 3 << 2 | 2);
  EXPECT_EQ(word.ToShadow(9).raw(),
            uint64_t{0xfeedface} << 32 | 9 << 7 | 3 << 2 | 1);
}

// All-flags copy on every change of type.
TEST(SwapWord, AChangeOfTypeKeepsCountSumZeroAndTail) {
  for (uint32_t count = 0; count <= kCountOverflow; ++count) {
    for (const bool zero : {false, true}) {
      for (const bool tail : {false, true}) {
        SwapWord word = SwapWord::Attached(kMaxFolioId).WithCount(count);
        word = word.WithZero(zero).WithSum(0x80000001);
        if (tail) word = word.WithTail();
        const SwapWord shadow = word.ToShadow(kAgeMask);
        EXPECT_TRUE(shadow.is_shadow());
        EXPECT_EQ(shadow.age(), kAgeMask);
        EXPECT_EQ(shadow.count(), count);
        EXPECT_EQ(shadow.zero(), zero);
        EXPECT_EQ(shadow.tail(), tail);
        EXPECT_EQ(shadow.sum(), tail ? 0 : 0x80000001);
        EXPECT_EQ(shadow.ToCached(kMaxFolioId), word);
      }
    }
  }
}

TEST(SwapWord, AnAgeTooLargeIsCutNotSpilt) {
  const SwapWord word = SwapWord::Attached(1).ToShadow(~0u);
  EXPECT_EQ(word.age(), kAgeMask);
  EXPECT_EQ(word.sum(), 0u);
}

}  // namespace
}  // namespace farswap::core

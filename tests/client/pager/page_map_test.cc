#include "client/pager/page_map.h"

#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace farswap::pager {
namespace {

using Kind = PageWord::Kind;
using core::SwapEntry;

constexpr uint64_t kBlocks = 3 * 512 + 7;

TEST(PageWordTest, KeepsKindValueAndTable) {
  const SwapEntry entry(0xfffffffe, 511);
  const PageWord word = PageWord::Swap(entry);
  EXPECT_EQ(word.kind(), Kind::kSwap);
  EXPECT_EQ(word.entry(), entry);
  EXPECT_FALSE(word.has_table());
  EXPECT_TRUE(word.WithTable(true).has_table());
  EXPECT_EQ(word.WithTable(true).entry(), entry);
  EXPECT_EQ(word.WithTable(true).WithTable(false), word);
  EXPECT_EQ(PageWord::Folio((1u << 25) - 1).value(), (1u << 25) - 1);
}

TEST(PageMapTest, AnUntouchedTebibyteCostsEightKibibytes) {
  const PageMap map((uint64_t{1} << 40) / kPageBytes);
  EXPECT_EQ(map.MetadataBytes(), 8192u);
  EXPECT_EQ(map.Get(123456789).kind(), Kind::kNone);
}

TEST(PageMapTest, AWholeBlockCountsItsSlots) {
  PageMap map(kBlocks * kPagesPerPmd);
  map.Set(5 * kPagesPerPmd, kPmdOrder, PageWord::Swap(SwapEntry(9, 0)));
  EXPECT_EQ(map.Get(5 * kPagesPerPmd + 77).entry(), SwapEntry(9, 77));
  EXPECT_TRUE(
      map.IsSwapRun(5 * kPagesPerPmd + 64, kPartOrder, SwapEntry(9, 64)));
  EXPECT_FALSE(
      map.IsSwapRun(5 * kPagesPerPmd + 64, kPartOrder, SwapEntry(9, 80)));
}

TEST(PageMapTest, SplitsAndFoldsABlock) {
  PageMap map(kBlocks * kPagesPerPmd);
  map.Set(0, kPmdOrder, PageWord::Swap(SwapEntry(9, 0)));
  const size_t whole = map.MetadataBytes();
  map.Set(16, kPartOrder, PageWord::Folio(3));
  EXPECT_EQ(map.GetBlock(0).kind(), Kind::kLeaf);
  EXPECT_EQ(map.MetadataBytes(), whole + kPagesPerPmd * sizeof(PageWord));
  EXPECT_EQ(map.Get(15).entry(), SwapEntry(9, 15));
  EXPECT_EQ(map.Get(31), PageWord::Folio(3));
  map.Fold(0);
  EXPECT_EQ(map.GetBlock(0).kind(), Kind::kLeaf);
  map.Set(16, kPartOrder, PageWord::Swap(SwapEntry(9, 16)));
  map.Fold(0);
  EXPECT_EQ(map.GetBlock(0).kind(), Kind::kSwap);
  EXPECT_TRUE(map.GetBlock(0).has_table());
  EXPECT_EQ(map.MetadataBytes(), whole);
}

TEST(PageMapTest, DoesNotFoldSlotsOfTwoClusters) {
  PageMap map(kBlocks * kPagesPerPmd);
  map.Set(0, kPmdOrder, PageWord::Swap(SwapEntry(9, 0)));
  map.Set(511, 0, PageWord::Swap(SwapEntry(8, 511)));
  map.Fold(0);
  EXPECT_EQ(map.GetBlock(0).kind(), Kind::kLeaf);
}

// A million pages beside a plain array, random operations.
TEST(PageMapTest, IsWhatAnArrayWouldBe) {
  const uint64_t seed = std::random_device()();
  RecordProperty("seed", std::to_string(seed));
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  PageMap map(kBlocks * kPagesPerPmd);
  std::vector<PageWord> model(kBlocks * kPagesPerPmd);
  for (int i = 0; i < 20000; ++i) {
    const int order = std::vector<int>{0, 4, 9}[random() % 3];
    // Few blocks, so that they meet.
    const uint64_t block = random() % 4 * 500;
    const uint64_t page =
        block * kPagesPerPmd + AlignDown(random() % 512, PagesOf(order));
    const auto cluster = static_cast<core::ClusterIndex>(random() % 2);
    const PageWord words[] = {PageWord(), PageWord(Kind::kZero, 0),
                              PageWord::Folio(random() % 100),
                              PageWord(Kind::kPoisoned, 0),
                              PageWord::Swap(SwapEntry(cluster, page % 512))};
    const PageWord word = words[random() % 5];
    map.Set(page, order, word);
    for (uint32_t p = 0; p < PagesOf(order); ++p) {
      model[page + p] =
          word.kind() == Kind::kSwap ? PageWord::Swap(word.entry() + p) : word;
    }
    if (random() % 4 == 0) map.Fold(block);
    const uint64_t probe = block * kPagesPerPmd + random() % 512;
    const PageWord got = map.Get(probe);
    // Folding does not tell kZero from kNone: both read as zeros.
    const bool zeros = got.is_zeros() && model[probe].is_zeros();
    ASSERT_TRUE(zeros || got == model[probe]) << "page " << probe;
  }
}

}  // namespace
}  // namespace farswap::pager

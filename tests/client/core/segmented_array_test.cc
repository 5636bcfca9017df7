#include "client/core/segmented_array.h"

#include <cstdint>
#include <vector>

#include "gtest/gtest.h"

namespace farswap::core {
namespace {

TEST(SegmentedArray, ElementsNeverMove) {
  SegmentedArray<uint32_t, 2> array;
  std::vector<uint32_t*> places;
  for (uint32_t i = 0; i < 1000; ++i) {
    array.Grow(i);
    array.At(i) = i * 7;
    places.push_back(&array.At(i));
  }
  for (uint32_t i = 0; i < 1000; ++i) {
    EXPECT_EQ(places[i], &array.At(i));
    EXPECT_EQ(array.At(i), i * 7);
  }
}

TEST(SegmentedArray, CostsNothingEmptyAndLittleMoreThanItsElements) {
  SegmentedArray<uint64_t, 6> array;
  EXPECT_EQ(array.bytes(), 0u);
  // Static: pointers, none sized by the largest index.
  EXPECT_LE(sizeof(array), 256u);
  for (uint32_t i = 0; i < 100'000; ++i) array.Grow(i);
  EXPECT_GE(array.bytes(), 100'000 * 8u);
  // A segment ahead, and 8 bytes of address for each 64 elements, doubled.
  EXPECT_LE(array.bytes(), 100'000 * 8u * 104 / 100);
}

TEST(SegmentedArray, FarIndexesNeedNotHaveWhatIsBelow) {
  SegmentedArray<uint8_t, 4> array;
  array.Grow(1 << 20);
  array.At(1 << 20) = 5;
  array.Grow(0);
  EXPECT_EQ(array.At(1 << 20), 5);
}

}  // namespace
}  // namespace farswap::core

#include "client/pager/leftovers.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <random>
#include <vector>

#include "common/units.h"

namespace farswap::pager {
namespace {

using Time = Leftovers::SteadyTime;

Time At(int ms) { return Time(std::chrono::milliseconds(ms)); }

// Addresses that nobody looks into; 2 MiB aligned.
char* Page(uint64_t p) {
  return reinterpret_cast<char*>((uint64_t{1} << 40) + p * kPageBytes);
}

// What is due, in the order in which it is taken.
std::vector<AddressRange> Due(Leftovers* leftovers, Time now) {
  std::vector<AddressRange> all;
  AddressRange range;
  while (leftovers->PopDue(now, &range)) all.push_back(range);
  return all;
}

TEST(LeftoversTest, EachIsDueInItsTimeAndKnownUntilThen) {
  Leftovers leftovers;
  leftovers.Add(Page(1), Page(3), At(10));
  leftovers.Add(Page(2), Page(5), At(20));
  EXPECT_EQ(leftovers.In(Page(0), Page(1)).size(), 0u);
  EXPECT_EQ(leftovers.In(Page(2), Page(3)).size(), 2u);
  EXPECT_TRUE(Due(&leftovers, At(9)).empty());
  EXPECT_EQ(Due(&leftovers, At(10)),
            (std::vector<AddressRange>{{Page(1), Page(3)}}));
  EXPECT_EQ(leftovers.In(Page(2), Page(3)),
            (std::vector<AddressRange>{{Page(2), Page(5)}}));
  EXPECT_EQ(Due(&leftovers, At(99)).size(), 1u);
  EXPECT_TRUE(Due(&leftovers, At(99)).empty());
}

TEST(LeftoversTest, TooManyAreBlocksDueWithTheLastOfThem) {
  Leftovers leftovers;
  leftovers.Add(Page(5 * 512 + 7), Page(5 * 512 + 8), At(1));
  leftovers.Add(Page(0), Page(1), At(2));
  leftovers.Add(Page(1023), Page(1025), At(3));  // Two blocks; they touch.
  for (size_t i = 0; i < Leftovers::kMaxRecent; ++i) {
    leftovers.Add(Page(9999), Page(10000), At(50));
  }
  EXPECT_EQ(leftovers.In(Page(600), Page(601)),
            (std::vector<AddressRange>{{Page(0), Page(3 * 512)}}));
  EXPECT_TRUE(Due(&leftovers, At(2)).empty());
  EXPECT_EQ(Due(&leftovers, At(3)),
            (std::vector<AddressRange>{{Page(0), Page(3 * 512)},
                                       {Page(5 * 512), Page(6 * 512)}}));
}

// Every page that was ever added is in what is due at the end.
TEST(LeftoversTest, NoneIsForgotten) {
  constexpr uint64_t kPages = 64 * 512;
  std::mt19937_64 random(1);
  Leftovers leftovers;
  std::vector<int> last(kPages, 0);
  for (int ms = 1; ms <= 20000; ++ms) {
    const uint64_t first = random() % kPages;
    const uint64_t end = std::min(first + 1 + random() % 700, kPages);
    leftovers.Add(Page(first), Page(end), At(ms + 1000));
    std::fill(last.begin() + static_cast<int64_t>(first),
              last.begin() + static_cast<int64_t>(end), ms);
  }
  const std::vector<AddressRange> all = Due(&leftovers, At(21000));
  for (uint64_t p = 0; p < kPages; ++p) {
    const bool found =
        std::any_of(all.begin(), all.end(), [&](const AddressRange& r) {
          return r.first <= Page(p) && Page(p) < r.second;
        });
    ASSERT_TRUE(found || last[p] == 0) << "page " << p;
  }
  EXPECT_TRUE(leftovers.In(Page(0), Page(kPages)).empty());
}

}  // namespace
}  // namespace farswap::pager

// Random faults and hits on the windows, and on what they promise said as
// plainly as possible: separate numbers, and sets of pages.
#include <algorithm>
#include <random>
#include <set>

#include "client/core/readahead.h"
#include "common/units.h"
#include "gtest/gtest.h"
#include "tests/client/core/swap_kit.h"

namespace farswap::core {
namespace {

class NaiveState {
 public:
  // The new window; `last` is where the one before was.
  int Fault(int64_t position, int cap, int64_t* last) {
    *last = last_;
    int pages = 1;
    if (hits_ == 0) {
      if (position == last_ + 1 || position == last_ - 1) pages = 2;
    } else {
      pages = 4;
      while (pages < hits_ + 2) pages *= 2;
    }
    window_ = std::min(cap, std::max(pages, window_ / 2));
    last_ = position;
    hits_ = 0;
    return window_;
  }
  void Hit() { hits_ = std::min(hits_ + 1, 63); }
  void Hit(int64_t position) {
    Hit();
    last_ = position;
  }

 private:
  int64_t last_ = -2;
  int window_ = 0;
  int hits_ = 4;
};

class ReadaheadModelTest : public testing::Test {
 protected:
  int64_t Random(int64_t bound) { return random_() % bound; }
  // Near the last one mostly, so that windows grow and turn.
  int64_t NextPage(int64_t last, int64_t pages) {
    const int64_t page = Random(8) == 0 ? Random(pages) : last + Random(5) - 2;
    return std::clamp<int64_t>(page, 0, pages - 1);
  }
  int Operations() const { return LongTest() ? 10'000'000 : 1'000'000; }

  const uint64_t seed_ = TestSeed();
  std::mt19937_64 random_{seed_};
};

// The pages that are to be read, one by one.
std::set<int64_t> NaiveWindow(int64_t page, int64_t last, int window,
                              int64_t region_pages) {
  int64_t first = page - (window - 1) / 2;
  if (page == last + 1) first = page;
  if (page == last - 1) first = page - window + 1;
  std::set<int64_t> pages;
  for (int64_t p = first; p < first + window; ++p) {
    if (p < 0 || p >= region_pages) continue;
    if (p / kPagesPerPmd != page / kPagesPerPmd) continue;
    pages.insert(p);
  }
  return pages;
}

// Broken by: any of what readahead_test.cc names.
TEST_F(ReadaheadModelTest, AddressWindowsAreTheNaiveOnes) {
  SCOPED_TRACE(testing::Message() << "FARSWAP_TEST_SEED=" << seed_);
  for (const int cap : {1, 2, 8, 32}) {
    AddressReadahead real(cap);
    NaiveState naive;
    const int64_t region = 1 + Random(3 * kPagesPerPmd);
    int64_t page = 0;
    for (int i = 0; i < Operations() / 8; ++i) {
      page = NextPage(page, region);
      if (Random(3) != 0) {
        real.OnHit(page);
        naive.Hit(page);
        continue;
      }
      int64_t last = 0;
      const int window = naive.Fault(page, cap, &last);
      const std::set<int64_t> want = NaiveWindow(page, last, window, region);
      const AddressReadahead::Window got = real.OnFault(page, region);
      ASSERT_EQ(got.first, static_cast<uint64_t>(*want.begin())) << i;
      ASSERT_EQ(got.pages, want.size()) << i;
      ASSERT_EQ(want.count(page), 1u) << i;
    }
  }
}

TEST_F(ReadaheadModelTest, ClusterWindowsAreTheNaiveOnes) {
  SCOPED_TRACE(testing::Message() << "FARSWAP_TEST_SEED=" << seed_);
  ClusterReadahead real;
  NaiveState naive;
  int64_t slot = 0;
  for (int i = 0; i < Operations() / 2; ++i) {
    slot = NextPage(slot, 4 * kSlotsPerCluster);
    if (Random(3) == 0) {
      real.OnHit();
      naive.Hit();
      continue;
    }
    int64_t last = 0;
    const int window = naive.Fault(slot, 8, &last);
    const ClusterReadahead::Window got = real.OnFault(SwapEntry::FromRaw(slot));
    ASSERT_EQ(got.pages, static_cast<uint32_t>(window)) << i;
    ASSERT_EQ(got.first.raw(), static_cast<uint64_t>(slot / window * window));
  }
}

}  // namespace
}  // namespace farswap::core

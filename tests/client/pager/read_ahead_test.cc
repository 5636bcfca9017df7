#include "client/pager/read_ahead.h"

#include <memory>
#include <set>
#include <vector>

#include "common/mutex.h"
#include "gtest/gtest.h"
#include "tests/client/pager/pager_fixture.h"

namespace farswap::pager {
namespace {

// Blocks that were read, of regions that exist by name only.
class ReadAheadTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(ahead_.Start().ok()); }

  static std::shared_ptr<Region> MakeRegion(uint64_t blocks) {
    return std::make_shared<Region>(nullptr, nullptr, blocks * kPmdBytes,
                                    nullptr, RegionOptions());
  }
  std::set<uint64_t> read() {
    MutexLock lock(&mu_);
    return read_;
  }
  bool EventuallyRead(const std::set<uint64_t>& blocks) {
    return Eventually([&] { return read() == blocks; });
  }

  Mutex mu_;
  std::set<uint64_t> read_ ABSL_GUARDED_BY(mu_);
  ReadAhead::Step answer_ ABSL_GUARDED_BY(mu_) = ReadAhead::Step::kDone;
  ReadAhead ahead_{[this](Region*, uint64_t block) {
    MutexLock lock(&mu_);
    read_.insert(block);
    return answer_;
  }};
};

TEST_F(ReadAheadTest, ReadsWhatComesNextInEitherDirection) {
  const auto region = MakeRegion(100);
  ahead_.Ask(region, 10, +1);
  EXPECT_TRUE(EventuallyRead({11, 12, 13, 14}));
  ahead_.Ask(region, 50, -1);
  EXPECT_TRUE(EventuallyRead({11, 12, 13, 14, 46, 47, 48, 49}));
}

TEST_F(ReadAheadTest, StaysInTheRegion) {
  const auto region = MakeRegion(12);
  ahead_.Ask(region, 10, +1);
  ahead_.Ask(region, 11, +1);
  ahead_.Ask(region, 1, -1);
  ahead_.Ask(region, 0, -1);
  EXPECT_TRUE(EventuallyRead({11, 0}));
}

TEST_F(ReadAheadTest, AFaultOnTheWayAsksForTheRestOnly) {
  const auto region = MakeRegion(100);
  ahead_.Ask(region, 10, +1);
  ASSERT_TRUE(EventuallyRead({11, 12, 13, 14}));
  ahead_.Ask(region, 13, +1);
  EXPECT_TRUE(EventuallyRead({11, 12, 13, 14, 15, 16, 17}));
}

TEST_F(ReadAheadTest, GivesAStreamUpWithoutRoom) {
  {
    MutexLock lock(&mu_);
    answer_ = ReadAhead::Step::kNoRoom;
  }
  const auto region = MakeRegion(100);
  ahead_.Ask(region, 10, +1);
  ASSERT_TRUE(Eventually([&] { return !read().empty(); }));
  ahead_.Stop();
  // Each of the two threads may have had a block before it was given up.
  EXPECT_LE(read().size(), 2u);
}

TEST_F(ReadAheadTest, KeepsNoRegionOnceItIsDone) {
  auto region = MakeRegion(100);
  const std::weak_ptr<Region> weak = region;
  ahead_.Ask(region, 10, +1);
  region.reset();
  EXPECT_TRUE(Eventually([&] { return weak.expired(); }));
}

}  // namespace
}  // namespace farswap::pager

#include "client/pager/latency.h"

#include "gtest/gtest.h"

namespace farswap::pager {
namespace {

TEST(LatencyHistogramTest, EmptyIsZero) {
  const LatencyHistogram histogram;
  EXPECT_EQ(histogram.Percentile(0.5), 0u);
  EXPECT_EQ(histogram.Max(), 0u);
}

TEST(LatencyHistogramTest, PercentilesAreRightWithinAnEighth) {
  LatencyHistogram histogram;
  for (uint64_t ns = 1; ns <= 100000; ++ns) histogram.Add(ns);
  for (const double share : {0.01, 0.5, 0.9, 0.99, 0.999}) {
    const double exact = share * 100000;
    EXPECT_GE(histogram.Percentile(share), exact * 7 / 8) << share;
    EXPECT_LE(histogram.Percentile(share), exact * 9 / 8 + 1) << share;
  }
  EXPECT_EQ(histogram.Percentile(1.0), 100000u);
  EXPECT_EQ(histogram.Max(), 100000u);
}

TEST(LatencyHistogramTest, TakesEveryValue) {
  LatencyHistogram histogram;
  histogram.Add(0);
  EXPECT_EQ(histogram.Percentile(0.5), 0u);
  histogram.Add(~uint64_t{0});
  histogram.Add(~uint64_t{0});
  EXPECT_EQ(histogram.Percentile(0.9), ~uint64_t{0});
}

}  // namespace
}  // namespace farswap::pager

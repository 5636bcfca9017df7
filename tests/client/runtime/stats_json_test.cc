#include "client/runtime/stats_json.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace farswap::runtime {
namespace {

TEST(StatsJsonTest, OneMemberPerField) {
  farswap_stats stats = {};
  stats.size = sizeof(stats);
  stats.faults = 1;
  stats.swpin[9] = 2;
  stats.swpout[0] = 3;
  stats.swpout_bytes = 18446744073709551615u;
  stats.pages_lost = 4;
  stats.stage_rpc_ns[9] = 5;
  stats.stage_total_ns = 6;
  const auto json = nlohmann::json::parse(StatsJson(stats));
  // The fields of the struct but its size; each of the arrays is one.
  constexpr size_t kArrays = 10;
  EXPECT_EQ(json.size(), (sizeof(stats) - sizeof(size_t)) / 8 -
                             kArrays * (FARSWAP_ORDERS - 1));
  EXPECT_EQ(json["faults"], 1);
  EXPECT_EQ(json["swpin"], (std::vector<int>{0, 0, 0, 0, 0, 0, 0, 0, 0, 2}));
  EXPECT_EQ(json["swpout"], (std::vector<int>{3, 0, 0, 0, 0, 0, 0, 0, 0, 0}));
  EXPECT_EQ(json["swpout_bytes"], 18446744073709551615u);
  EXPECT_EQ(json["pages_lost"], 4);
  EXPECT_EQ(json["stage_rpc_ns"][9], 5);
  EXPECT_EQ(json["stage_total_ns"], 6);
  EXPECT_FALSE(json.contains("size"));
}

}  // namespace
}  // namespace farswap::runtime

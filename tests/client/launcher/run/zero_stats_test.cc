#include "client/launcher/run/zero_stats.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "client/runtime/stats_json.h"

namespace farswap::launcher {
namespace {

TEST(ZeroStatsTest, IsWhatTheRuntimeWritesOfNothing) {
  const auto runtime =
      nlohmann::ordered_json::parse(runtime::StatsJson(farswap_stats{}));
  // Of equal order, too.
  EXPECT_EQ(nlohmann::ordered_json::parse(ZeroStats()).dump(), runtime.dump());
}

}  // namespace
}  // namespace farswap::launcher

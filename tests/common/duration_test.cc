#include "common/duration.h"

#include <gtest/gtest.h>

namespace farswap {
namespace {

using std::chrono::milliseconds;

TEST(DurationTest, ReadsWholeNumbersWithUnits) {
  EXPECT_EQ(*ParseDuration("500ms"), milliseconds(500));
  EXPECT_EQ(*ParseDuration("60s"), milliseconds(60'000));
  EXPECT_EQ(*ParseDuration("2m"), milliseconds(120'000));
  EXPECT_EQ(*ParseDuration("24h"), milliseconds(86'400'000));
  EXPECT_EQ(*ParseDuration("8760h"), milliseconds(31'536'000'000));
}

TEST(DurationTest, RefusesTheRestInOneLine) {
  for (const char* text :
       {"", "0s", "-1s", "1", "1.5s", "s", "1 s", "1d", "1S", "8761h",
        "9223372036854775807ms", "99999999999999999999s"}) {
    const auto duration = ParseDuration(text);
    ASSERT_FALSE(duration.ok()) << text;
    const std::string message(duration.status().message());
    EXPECT_NE(message.find(std::string("'") + text + "'"), std::string::npos);
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  }
}

TEST(DurationTest, FormatsWhatItReads) {
  for (const char* text : {"1ms", "1500ms", "59s", "90s", "2m", "25h"}) {
    EXPECT_EQ(FormatDuration(*ParseDuration(text)), text);
  }
  EXPECT_EQ(FormatDuration(milliseconds(0)), "0ms");
}

}  // namespace
}  // namespace farswap

#include "common/size.h"

#include <gtest/gtest.h>

namespace farswap {
namespace {

TEST(SizeTest, ReadsWholeNumbersWithUnits) {
  const struct {
    const char* text;
    uint64_t bytes;
  } cases[] = {
      {"1", 1},
      {"4096", 4096},
      {"1K", 1024},
      {"1KiB", 1024},
      {"512M", 512ull << 20},
      {"512MiB", 512ull << 20},
      {"3G", 3ull << 30},
      {"3GiB", 3ull << 30},
      {"2T", 2ull << 40},
      {"2TiB", 2ull << 40},
      {"16777215TiB", 16777215ull << 40},
  };
  for (const auto& c : cases) {
    const auto bytes = ParseSize(c.text);
    ASSERT_TRUE(bytes.ok()) << c.text << ": " << bytes.status();
    EXPECT_EQ(*bytes, c.bytes) << c.text;
  }
}

TEST(SizeTest, RefusesTheRestAndSaysWhatWouldBeRight) {
  const struct {
    const char* text;
    const char* remedy;
  } cases[] = {
      {"", "512MiB"},
      {"-3", "positive whole number"},
      {"+3", "positive whole number"},
      {" 3", "positive whole number"},
      {"G", "positive whole number"},
      {"0", "at least 1"},
      {"0G", "at least 1"},
      {"1.5G", "1536MiB"},
      {"1.5GB", "1536MiB"},
      {"1KB", "write 1KiB"},
      {"20MB", "write 20MiB"},
      {"1GB", "write 1GiB"},
      {"1TB", "write 1TiB"},
      {"1k", "no known unit"},
      {"1B", "no known unit"},
      {"1Gib", "no known unit"},
      {"1G ", "no known unit"},
      {"1 G", "no known unit"},
      {"16777216TiB", "too large"},
      {"99999999999999999999", "too large"},
  };
  for (const auto& c : cases) {
    const auto bytes = ParseSize(c.text);
    ASSERT_FALSE(bytes.ok()) << c.text;
    const std::string message(bytes.status().message());
    EXPECT_NE(message.find(c.remedy), std::string::npos) << message;
    EXPECT_NE(message.find(std::string("'") + c.text + "'"), std::string::npos)
        << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  }
}

TEST(SizeTest, FormatsWhatItReads) {
  EXPECT_EQ(FormatSize(0), "0");
  EXPECT_EQ(FormatSize(1000), "1000");
  EXPECT_EQ(FormatSize(1024), "1KiB");
  EXPECT_EQ(FormatSize(1536ull << 20), "1536MiB");
  for (const uint64_t bytes :
       {1ull, 4096ull, 5ull << 30, 1ull << 40, 7ull << 50, ~0ull}) {
    EXPECT_EQ(*ParseSize(FormatSize(bytes)), bytes);
  }
}

}  // namespace
}  // namespace farswap

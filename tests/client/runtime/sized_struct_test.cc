#include "client/runtime/sized_struct.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>

namespace farswap::runtime {
namespace {

// A struct of the API over three versions.
struct Old {
  size_t size;
  uint64_t first;
};
struct Now {
  size_t size;
  uint64_t first;
  uint64_t second;
};
struct Newer {
  size_t size;
  uint64_t first;
  uint64_t second;
  uint64_t third;
};

constexpr Now kDefaults = {sizeof(Now), 10, 20};

absl::StatusOr<Now> Read(const void* from) {
  return ReadSized(static_cast<const Now*>(from), kDefaults, "options");
}

TEST(ReadSizedTest, TheSameVersion) {
  const Now from = {sizeof(Now), 1, 2};
  const auto read = Read(&from);
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->first, 1u);
  EXPECT_EQ(read->second, 2u);
}

TEST(ReadSizedTest, AnOlderCallerGetsTheDefaultsOfWhatItDoesNotHave) {
  const Old from = {sizeof(Old), 1};
  const auto read = Read(&from);
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->size, sizeof(Now));
  EXPECT_EQ(read->first, 1u);
  EXPECT_EQ(read->second, 20u);
}

TEST(ReadSizedTest, ANewerCallerMayNotAskForWhatIsUnknown) {
  Newer from = {sizeof(Newer), 1, 2, 0};
  ASSERT_TRUE(Read(&from).ok());
  EXPECT_EQ(Read(&from)->second, 2u);
  from.third = 1;
  const absl::Status status = Read(&from).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(),
            "options sets a field at byte 24 that this library is too old to "
            "know; leave it zero or use a newer library");
}

TEST(ReadSizedTest, RefusesASizeThatWasNeverSet) {
  EXPECT_EQ(Read(nullptr).status().message(), "options is NULL");
  for (size_t size : {size_t{0}, size_t{7}, size_t{4097}, ~size_t{0}}) {
    const Now from = {size, 1, 2};
    EXPECT_EQ(Read(&from).status().code(), absl::StatusCode::kInvalidArgument)
        << size;
  }
  const size_t only_the_size = sizeof(size_t);
  ASSERT_TRUE(Read(&only_the_size).ok());
  EXPECT_EQ(Read(&only_the_size)->first, 10u);
}

TEST(WriteSizedTest, FillsWhatTheCallerHas) {
  const Now value = {0, 1, 2};
  Old old[2] = {{sizeof(Old), 7}, {99, 99}};
  ASSERT_TRUE(WriteSized(value, reinterpret_cast<Now*>(old), "stats").ok());
  EXPECT_EQ(old[0].size, sizeof(Old));
  EXPECT_EQ(old[0].first, 1u);
  EXPECT_EQ(old[1].size, 99u) << "wrote past the caller's struct";

  Newer newer = {sizeof(Newer), 7, 7, 7};
  ASSERT_TRUE(WriteSized(value, reinterpret_cast<Now*>(&newer), "stats").ok());
  EXPECT_EQ(newer.size, sizeof(Newer));
  EXPECT_EQ(newer.second, 2u);
  EXPECT_EQ(newer.third, 0u);
}

TEST(WriteSizedTest, RefusesASizeThatWasNeverSet) {
  Now stats = {0, 7, 7};
  EXPECT_FALSE(WriteSized(Now{0, 1, 2}, &stats, "stats").ok());
  EXPECT_EQ(stats.first, 7u);
  EXPECT_FALSE(WriteSized<Now>(Now{0, 1, 2}, nullptr, "stats").ok());
}

}  // namespace
}  // namespace farswap::runtime

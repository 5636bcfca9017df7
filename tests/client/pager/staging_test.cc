#include "client/pager/staging.h"

#include <cstring>
#include <set>
#include <vector>

#include "common/units.h"
#include "gtest/gtest.h"

namespace farswap::pager {
namespace {

constexpr size_t kMiB = size_t{1} << 20;

// Counts zaps; the pages themselves are plain memory here.
class CountingSpace final : public AddressSpace {
 public:
  OpResult CopyIn(char*, const char*, size_t n) override { return {0, n}; }
  OpResult MoveIn(char*, char*, size_t n) override { return {0, n}; }
  OpResult MoveOut(char*, char*, size_t n) override { return {0, n}; }
  OpResult Unshare(char*, size_t n, uint64_t*) override { return {0, n}; }
  bool GiveForked(char*, const char*) override { return false; }
  OpResult Zap(char*, size_t n) override {
    ++zaps;
    return {0, n};
  }
  void Unmap(char*, size_t) override {}
  OpResult Poison(char*, size_t n) override { return {0, n}; }
  OpResult Wake(char*, size_t n) override { return {0, n}; }
  bool IsPresent(const char*) override { return true; }
  const char* FirstPresent(const char* at, const char*) override { return at; }
  OpResult DropTable(char*) override { return {0, kPmdBytes}; }
  const char* FirstAbsent(const char*, const char* end) override { return end; }
  bool IsHuge(const char*) override { return true; }
  bool IsChanging(const char*, size_t) override { return false; }
  bool IsMoving(const char*, size_t) override { return false; }
  bool Settled(const char*, size_t) override { return true; }
  bool IsAllRead(size_t) override { return true; }
  size_t CountUntold() override { return 0; }
  void Applied(const MapEvent&) override {}
  std::vector<char*> TakeLacked(int) override { return {}; }
  int zaps = 0;
};

class StagingTest : public testing::Test {
 protected:
  void SetUp() override {
    auto staging =
        Staging::Create(8 * kMiB, &space_, [&](char* at, size_t bytes) {
          capture_ = at;
          capture_bytes_ = bytes;
          return absl::OkStatus();
        });
    ASSERT_TRUE(staging.ok()) << staging.status();
    staging_ = std::move(*staging);
  }
  static SteadyTime Now() { return std::chrono::steady_clock::now(); }

  CountingSpace space_;
  char* capture_ = nullptr;
  size_t capture_bytes_ = 0;
  std::unique_ptr<Staging> staging_;
};

TEST_F(StagingTest, RegistersWhatItCapturesTo) {
  EXPECT_EQ(capture_bytes_, 4 * kMiB);
  char* const block = staging_->GetEmpty(kPmdOrder, Now());
  EXPECT_TRUE(staging_->Holds(block));
  EXPECT_EQ(reinterpret_cast<uintptr_t>(block) % kPmdBytes, 0u);
  EXPECT_FALSE(staging_->Holds(staging_->GetFilled().buffer));
}

TEST_F(StagingTest, IsBoundedAndWaitsNoLongerThanAsked) {
  ASSERT_NE(staging_->GetEmpty(kPmdOrder, Now()), nullptr);
  char* const second = staging_->GetEmpty(kPmdOrder, Now());
  ASSERT_NE(second, nullptr);
  EXPECT_EQ(staging_->GetEmpty(kPmdOrder, Now()), nullptr);
  EXPECT_EQ(staging_->GetEmpty(0, Now()), nullptr);
  staging_->Put(second, kPmdOrder, /*filled=*/false);
  EXPECT_EQ(staging_->GetEmpty(kPmdOrder, Now()), second);
}

TEST_F(StagingTest, WhatWasCapturedIsReceivedIntoNext) {
  char* const block = staging_->GetEmpty(kPmdOrder, Now());
  staging_->Put(block, kPmdOrder, /*filled=*/true);
  const Staging::Filled filled = staging_->GetFilled();
  EXPECT_EQ(filled.buffer, block);
  EXPECT_FALSE(filled.zeroed);
  EXPECT_EQ(space_.zaps, 0);
  staging_->PutReceived(block, Staging::Left::kNone);
  EXPECT_EQ(staging_->GetEmpty(kPmdOrder, Now()), block);
  EXPECT_EQ(space_.zaps, 0);
}

TEST_F(StagingTest, AFilledBlockIsEmptiedWhenNoOtherIsLeft) {
  char* const block = staging_->GetEmpty(kPmdOrder, Now());
  staging_->Put(block, kPmdOrder, /*filled=*/true);
  ASSERT_NE(staging_->GetEmpty(kPmdOrder, Now()), block);
  EXPECT_EQ(space_.zaps, 0);
  EXPECT_EQ(staging_->GetEmpty(kPmdOrder, Now()), block);
  EXPECT_EQ(space_.zaps, 1);
}

TEST_F(StagingTest, TheNurseryGivesZerosAgainAfterUse) {
  std::vector<char*> buffers;
  for (;;) {
    const Staging::Filled filled = staging_->GetFilled();
    if (filled.buffer == nullptr) break;
    EXPECT_TRUE(filled.zeroed);
    std::memset(filled.buffer, 0x5a, kPmdBytes);
    buffers.push_back(filled.buffer);
  }
  ASSERT_EQ(buffers.size(), 2u);
  staging_->PutReceived(buffers[0], Staging::Left::kAll);
  const Staging::Filled again = staging_->GetFilled();
  ASSERT_EQ(again.buffer, buffers[0]);
  for (size_t i = 0; i < kPmdBytes; ++i) ASSERT_EQ(again.buffer[i], 0);
}

TEST_F(StagingTest, ABufferWithHolesIsEmptiedBeforeItsNextUse) {
  char* const block = staging_->GetEmpty(kPmdOrder, Now());
  staging_->Put(block, kPmdOrder, /*filled=*/true);
  ASSERT_EQ(staging_->GetFilled().buffer, block);
  staging_->PutReceived(block, Staging::Left::kSome);
  EXPECT_EQ(space_.zaps, 1);
  EXPECT_NE(staging_->GetFilled().buffer, block);
  EXPECT_EQ(staging_->GetEmpty(kPmdOrder, Now()), block);
}

TEST_F(StagingTest, SmallFoliosShareABlockAndGiveItBackTogether) {
  std::set<char*> parts;
  for (uint32_t i = 0; i < kPartsPerPmd; ++i) {
    char* const part = staging_->GetEmpty(kPartOrder, Now());
    ASSERT_NE(part, nullptr);
    EXPECT_TRUE(parts.insert(part).second);
  }
  EXPECT_EQ(static_cast<size_t>(*parts.rbegin() - *parts.begin()),
            kPmdBytes - kPartBytes);
  for (char* part : parts) staging_->Put(part, kPartOrder, false);
  EXPECT_EQ(space_.zaps, 0);  // Still open, and full.
  ASSERT_NE(staging_->GetEmpty(0, Now()), nullptr);
  EXPECT_EQ(space_.zaps, 1);
}

TEST_F(StagingTest, ShutdownEndsWaits) {
  staging_->Shutdown();
  EXPECT_EQ(staging_->GetEmpty(kPmdOrder, Now() + std::chrono::hours(1)),
            nullptr);
}

TEST(StagingCreateTest, PassesARefusedRegistrationOn) {
  CountingSpace space;
  const auto staging = Staging::Create(8 * kMiB, &space, [](char*, size_t) {
    return absl::PermissionDeniedError("no");
  });
  EXPECT_EQ(staging.status().code(), absl::StatusCode::kPermissionDenied);
}

}  // namespace
}  // namespace farswap::pager

// What a pager is made with.
#include <chrono>
#include <memory>

#include "absl/status/status.h"
#include "client/pager/pager.h"
#include "gtest/gtest.h"
#include "tests/client/pager/pager_fixture.h"
#include "tests/client/remote/memory_transport.h"

namespace farswap::pager {
namespace {

using Transport = remote::MemoryTransport;

TEST(PagerOptionsTest, BadOptionsAreRefusedWithTheRemedy) {
  const auto create = [](const PagerOptions& options) {
    return Pager::Create(options,
                         std::make_unique<Transport>(Transport::Options{}))
        .status();
  };
  EXPECT_EQ(create({.staging_bytes = 4 * kMiB}).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(create({.staging_bytes = 9 * kMiB + 1}).code(),
            absl::StatusCode::kInvalidArgument);
  auto pager =
      Pager::Create({}, std::make_unique<Transport>(Transport::Options{}));
  ASSERT_TRUE(pager.ok()) << pager.status();
  EXPECT_EQ((*pager)->CreateGroup(kMinGroupBytes - 1).status().code(),
            absl::StatusCode::kInvalidArgument);
  auto group = (*pager)->CreateGroup(kMinGroupBytes);
  ASSERT_TRUE(group.ok());
  EXPECT_FALSE((*pager)->CreateRegion(*group, {.bytes = 0}).ok());
  EXPECT_FALSE((*pager)->CreateRegion(nullptr, {.bytes = 1}).ok());
  auto region = (*pager)->CreateRegion(*group, {.bytes = 1});
  ASSERT_TRUE(region.ok());
  EXPECT_EQ((*region)->length(), kPmdBytes);
  EXPECT_EQ((*pager)->DestroyGroup(*group).code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE((*pager)->DestroyRegion(*region).ok());
  EXPECT_FALSE((*pager)->DestroyRegion(*region).ok());
  EXPECT_TRUE((*pager)->DestroyGroup(*group).ok());
  EXPECT_FALSE((*pager)->DestroyGroup(*group).ok());
}

}  // namespace
}  // namespace farswap::pager

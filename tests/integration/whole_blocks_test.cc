// Passes over 1 GiB with 256 MiB local, through a real server: what comes back
// comes as 2 MiB folios, each by one RPC and one move, mapped huge.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <utility>

#include "client/runtime/farswap.hpp"
#include "client/runtime/private_server.h"
#include "common/units.h"
#include "tests/client/runtime/privilege.h"
#include "tests/integration/smaps_sampler.h"

namespace farswap {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kLimit = 256 * kMiB;
constexpr uint64_t kBytes = 1024 * kMiB;
constexpr uint64_t kPages = kBytes / kPageBytes;

// splitmix64: a page is like no other, and does not compress.
uint64_t WordAt(uint64_t index) {
  uint64_t z = (index + 1) * 0x9e3779b97f4a7c15;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  return z ^ (z >> 27);
}

class WholeBlocksTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!HasUserfaultfd()) {
      GTEST_SKIP() << "NOT TESTED: no privilege for userfaultfd; run as root";
    }
    runtime::PrivateServerOptions options;
    options.capacity_bytes = 2 * kBytes;
    auto server = runtime::PrivateServer::Start(options);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    ClientOptions client_options;
    client_options.servers = server_->address();
    auto client = Client::Open(client_options);
    ASSERT_TRUE(client) << client.error().message();
    client_ = std::make_unique<Client>(*std::move(client));
    auto group = client_->CreateGroup(kLimit);
    ASSERT_TRUE(group) << group.error().message();
    group_ = std::make_unique<Group>(*std::move(group));
    RegionOptions region_options;
    region_options.bytes = kBytes;
    auto region = group_->CreateRegion(region_options);
    ASSERT_TRUE(region) << region.error().message();
    region_ = std::make_unique<Region>(*std::move(region));
    for (uint64_t page = 0; page < kPages; ++page) Write(page);
  }
  void TearDown() override {
    region_.reset();
    group_.reset();
    client_.reset();
  }

  uint64_t* Words(uint64_t page) const {
    return reinterpret_cast<uint64_t*>(region_->data()) + page * kWords;
  }
  void Write(uint64_t page) const {
    for (uint64_t i = 0; i < kWords; ++i) {
      Words(page)[i] = WordAt(page * kWords + i);
    }
  }
  bool Holds(uint64_t page) const {
    for (uint64_t i = 0; i < kWords; ++i) {
      if (Words(page)[i] != WordAt(page * kWords + i)) return false;
    }
    return true;
  }

  // Runs a pass and looks at what it brought in.
  void ExpectWhole(const std::function<void()>& pass) {
    const farswap_stats before = client_->Stats();
    pass();
    const farswap_stats after = client_->Stats();
    const uint64_t bytes = after.swpin_bytes - before.swpin_bytes;
    const uint64_t gets = after.swpin[kPmdOrder] - before.swpin[kPmdOrder];
    const uint64_t huge = after.thp_swpin - before.thp_swpin;
    // Else nothing was tested: three quarters were remote.
    EXPECT_GE(bytes, (kBytes - kLimit) * 9 / 10);
    EXPECT_GE(gets * kPmdBytes * 100, bytes * 95);
    EXPECT_GE(huge * 100, gets * 95);
    const Smaps now = ReadSmaps(region_->data(), kBytes);
    EXPECT_GE(now.resident_bytes, kLimit / 2);
    EXPECT_GE(now.huge_bytes * 100, now.resident_bytes * 95);
  }

  // A page in each `stride` of the region, and the next one in the next sweep.
  void Stride(uint64_t stride_bytes, int sweeps) {
    const uint64_t stride = stride_bytes / kPageBytes;
    for (int sweep = 0; sweep < sweeps; ++sweep) {
      for (uint64_t page = sweep; page < kPages; page += stride) {
        ASSERT_TRUE(Holds(page)) << page;
      }
    }
  }

  static constexpr uint64_t kWords = kPageBytes / sizeof(uint64_t);
  std::unique_ptr<runtime::PrivateServer> server_;
  std::unique_ptr<Client> client_;
  std::unique_ptr<Group> group_;
  std::unique_ptr<Region> region_;
};

TEST_F(WholeBlocksTest, OfASequentialPass) {
  ExpectWhole([&] {
    for (uint64_t page = 0; page < kPages; ++page) ASSERT_TRUE(Holds(page));
  });
}

TEST_F(WholeBlocksTest, OfAPassWithAStrideBelowABlock) {
  ExpectWhole([&] { Stride(64 << 10, 1); });
}

TEST_F(WholeBlocksTest, OfSweepsWithAStrideOfABlock) {
  ExpectWhole([&] { Stride(kPmdBytes, 2); });
}

TEST_F(WholeBlocksTest, OfAPassBackwards) {
  ExpectWhole([&] {
    for (uint64_t page = kPages; page > 0; --page) {
      ASSERT_TRUE(Holds(page - 1));
    }
  });
}

}  // namespace
}  // namespace farswap

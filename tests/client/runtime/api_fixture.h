// A private server for tests of the C and C++ API, and handles that work.
#ifndef FARSWAP_TESTS_CLIENT_RUNTIME_API_FIXTURE_H_
#define FARSWAP_TESTS_CLIENT_RUNTIME_API_FIXTURE_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <utility>

#include "client/runtime/farswap.h"
#include "client/runtime/private_server.h"
#include "tests/client/runtime/privilege.h"

namespace farswap {

inline constexpr uint64_t kMiB = uint64_t{1} << 20;

class FarswapApiTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!HasUserfaultfd()) {
      GTEST_SKIP() << "NOT TESTED: no privilege for userfaultfd; run as root";
    }
    runtime::PrivateServerOptions options;
    options.capacity_bytes = 256 * kMiB;
    auto server = runtime::PrivateServer::Start(options);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  farswap_client_options ClientOptions() const {
    farswap_client_options options;
    farswap_client_options_init(&options, sizeof(options));
    options.servers = server_->address().c_str();
    // Less, so that what is beyond the limit is not all on its way still.
    options.staging_bytes = 8 * kMiB;
    return options;
  }

  farswap_client* Open() const {
    const farswap_client_options options = ClientOptions();
    farswap_client* client = nullptr;
    EXPECT_EQ(farswap_client_open(&options, &client), 0)
        << farswap_last_error();
    return client;
  }

  static farswap_group* MakeGroup(farswap_client* client,
                                  uint64_t local_limit = 8 * kMiB,
                                  farswap_group* parent = nullptr) {
    farswap_group_options options;
    farswap_group_options_init(&options, sizeof(options));
    options.local_limit = local_limit;
    options.parent = parent;
    farswap_group* group = nullptr;
    EXPECT_EQ(farswap_group_create(client, &options, &group), 0)
        << farswap_last_error();
    return group;
  }

  static farswap_region* MakeRegion(farswap_group* group, uint64_t bytes) {
    farswap_region_options options;
    farswap_region_options_init(&options, sizeof(options));
    options.bytes = bytes;
    farswap_region* region = nullptr;
    EXPECT_EQ(farswap_region_create(group, &options, &region), 0)
        << farswap_last_error();
    return region;
  }

  std::unique_ptr<runtime::PrivateServer> server_;
};

}  // namespace farswap

#endif  // FARSWAP_TESTS_CLIENT_RUNTIME_API_FIXTURE_H_

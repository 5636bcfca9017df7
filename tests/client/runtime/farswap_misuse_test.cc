// What a program may do wrong with the C API: nothing happens but an errno and
// a sentence, and no handle is made.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "client/runtime/farswap.h"
#include "tests/client/runtime/api_fixture.h"

namespace farswap {
namespace {

TEST(FarswapApiWithoutServerTest, NullIsAnErrorAndNothingElse) {
  EXPECT_EQ(farswap_client_open(nullptr, nullptr), -EINVAL);
  EXPECT_STREQ(farswap_last_error(), "client is NULL");
  EXPECT_EQ(farswap_client_close(nullptr), -EINVAL);
  EXPECT_EQ(farswap_group_create(nullptr, nullptr, nullptr), -EINVAL);
  EXPECT_EQ(farswap_group_destroy(nullptr), -EINVAL);
  EXPECT_EQ(farswap_region_create(nullptr, nullptr, nullptr), -EINVAL);
  EXPECT_EQ(farswap_region_destroy(nullptr), -EINVAL);
  EXPECT_EQ(farswap_region_address(nullptr), nullptr);
  EXPECT_EQ(farswap_region_length(nullptr), 0u);
  EXPECT_EQ(farswap_client_stats(nullptr, nullptr), -EINVAL);
  EXPECT_EQ(farswap_client_stats_json(nullptr), nullptr);
  farswap_client_options_init(nullptr, sizeof(farswap_client_options));
}

TEST(FarswapApiWithoutServerTest, InitStaysWithinAnOlderCallersStruct) {
  struct {
    size_t size;
    const char* servers;
    uint64_t guard;
  } old = {7, "x", 99};
  farswap_client_options_init(
      reinterpret_cast<farswap_client_options*>(&old),
      offsetof(farswap_client_options, fault_deadline_ms));
  EXPECT_EQ(old.size, offsetof(farswap_client_options, fault_deadline_ms));
  EXPECT_EQ(old.servers, nullptr);
  EXPECT_EQ(old.guard, 99u);
}

TEST(FarswapApiWithoutServerTest, InitOfNoStructDoesNothing) {
  for (const size_t size : {size_t{0}, size_t{7}, size_t{4097}, ~size_t{0}}) {
    farswap_group_options options = {99, 99};
    farswap_group_options_init(&options, size);
    EXPECT_EQ(options.size, 99u) << size;
    EXPECT_EQ(options.local_limit, 99u) << size;
  }
}

TEST(FarswapApiWithoutServerTest, EveryErrnoHasANameAndNoOtherNumber) {
  EXPECT_STREQ(farswap_strerror(-EINVAL), "EINVAL: Invalid argument");
  EXPECT_STREQ(farswap_strerror(EBUSY), "EBUSY: Device or resource busy");
  EXPECT_STREQ(farswap_strerror(0), "success");
  for (const int odd : {4096, -4096, INT_MAX, INT_MIN}) {
    EXPECT_EQ(std::string(farswap_strerror(odd)).find("unknown error"), 0u)
        << odd;
  }
}

// What `create` says to a struct that is not one of its version.
template <typename Options, typename Create>
void ExpectRefusesSizes(const Options& good, const Create& create) {
  for (const size_t size : {size_t{0}, size_t{7}, size_t{4097}, ~size_t{0}}) {
    Options wrong = good;
    wrong.size = size;
    EXPECT_EQ(create(&wrong), -EINVAL) << size;
    EXPECT_NE(std::string(farswap_last_error()).find(".size is "),
              std::string::npos)
        << farswap_last_error();
  }
  struct {
    Options known;
    uint64_t unknown;
  } newer = {good, 1};
  newer.known.size = sizeof(newer);
  EXPECT_EQ(create(&newer.known), -EINVAL);
  EXPECT_NE(std::string(farswap_last_error()).find("too old to know"),
            std::string::npos)
      << farswap_last_error();
  EXPECT_EQ(create(nullptr), -EINVAL);
}

class FarswapMisuseTest : public FarswapApiTest {
 protected:
  void SetUp() override {
    FarswapApiTest::SetUp();
    if (server_ == nullptr) return;
    client_ = Open();
    group_ = MakeGroup(client_);
  }
  void TearDown() override {
    if (server_ == nullptr) return;
    EXPECT_EQ(farswap_group_destroy(group_), 0) << farswap_last_error();
    EXPECT_EQ(farswap_client_close(client_), 0) << farswap_last_error();
  }

  farswap_client* client_ = nullptr;
  farswap_group* group_ = nullptr;
};

TEST_F(FarswapMisuseTest, StructsOfAnotherVersion) {
  farswap_client_options client = ClientOptions();
  ExpectRefusesSizes(client, [](const farswap_client_options* options) {
    farswap_client* made = reinterpret_cast<farswap_client*>(1);
    const int result = farswap_client_open(options, &made);
    EXPECT_EQ(made, nullptr);
    return result;
  });
  farswap_group_options group;
  farswap_group_options_init(&group, sizeof(group));
  group.local_limit = 8 * kMiB;
  ExpectRefusesSizes(group, [&](const farswap_group_options* options) {
    farswap_group* made = reinterpret_cast<farswap_group*>(1);
    const int result = farswap_group_create(client_, options, &made);
    EXPECT_EQ(made, nullptr);
    return result;
  });
  farswap_region_options region;
  farswap_region_options_init(&region, sizeof(region));
  region.bytes = kMiB;
  ExpectRefusesSizes(region, [&](const farswap_region_options* options) {
    farswap_region* made = reinterpret_cast<farswap_region*>(1);
    const int result = farswap_region_create(group_, options, &made);
    EXPECT_EQ(made, nullptr);
    return result;
  });
}

TEST_F(FarswapMisuseTest, NullsInEveryPlace) {
  const farswap_client_options client_options = ClientOptions();
  EXPECT_EQ(farswap_client_open(&client_options, nullptr), -EINVAL);
  farswap_group_options group_options;
  farswap_group_options_init(&group_options, sizeof(group_options));
  group_options.local_limit = 8 * kMiB;
  farswap_group* group = reinterpret_cast<farswap_group*>(1);
  EXPECT_EQ(farswap_group_create(nullptr, &group_options, &group), -EINVAL);
  EXPECT_EQ(group, nullptr);
  EXPECT_EQ(farswap_group_create(client_, &group_options, nullptr), -EINVAL);
  farswap_region_options region_options;
  farswap_region_options_init(&region_options, sizeof(region_options));
  region_options.bytes = kMiB;
  farswap_region* region = reinterpret_cast<farswap_region*>(1);
  EXPECT_EQ(farswap_region_create(nullptr, &region_options, &region), -EINVAL);
  EXPECT_EQ(region, nullptr);
  EXPECT_EQ(farswap_region_create(group_, &region_options, nullptr), -EINVAL);
  EXPECT_EQ(farswap_client_stats(client_, nullptr), -EINVAL);
}

TEST_F(FarswapMisuseTest, RegionsOfAnySize) {
  for (const uint64_t bytes :
       {uint64_t{0}, (uint64_t{1} << 46) + 1, ~uint64_t{0}}) {
    farswap_region_options options;
    farswap_region_options_init(&options, sizeof(options));
    options.bytes = bytes;
    farswap_region* region = nullptr;
    EXPECT_EQ(farswap_region_create(group_, &options, &region), -EINVAL);
    EXPECT_EQ(region, nullptr);
  }
  // Costs nothing until it is touched; no size needs to be a multiple.
  for (const uint64_t bytes : {uint64_t{1}, 2 * kMiB + 1, uint64_t{1} << 40}) {
    farswap_region* const region = MakeRegion(group_, bytes);
    ASSERT_NE(region, nullptr);
    auto* const data = static_cast<char*>(farswap_region_address(region));
    EXPECT_GE(farswap_region_length(region), bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(data) % (2 * kMiB), 0u);
    data[bytes - 1] = 'x';
    EXPECT_EQ(data[bytes - 1], 'x');
    EXPECT_EQ(farswap_region_destroy(region), 0);
  }
}

TEST_F(FarswapMisuseTest, ADeadlineBeyondWhatTheServerRetains) {
  farswap_client_options options = ClientOptions();
  options.fault_deadline_ms = 25ull * 3600 * 1000;
  farswap_client* client = nullptr;
  EXPECT_EQ(farswap_client_open(&options, &client), -EINVAL);
  EXPECT_EQ(client, nullptr);
  EXPECT_NE(std::string(farswap_last_error()).find("deadline"),
            std::string::npos)
      << farswap_last_error();
}

// A copy of the handles is all that a forked child has: what it did with them,
// it would do to its parent's session.
TEST_F(FarswapMisuseTest, AForkedChildGetsErrorsAndHarmsNobody) {
  farswap_region* const region = MakeRegion(group_, 16 * kMiB);
  auto* const data = static_cast<char*>(farswap_region_address(region));
  for (uint64_t i = 0; i < 16 * kMiB; ++i) data[i] = static_cast<char>(i % 251);
  const farswap_client_options options = ClientOptions();
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    alarm(60);  // A hang is a failure too.
    farswap_client* client = nullptr;
    farswap_region* more = nullptr;
    farswap_group* group = nullptr;
    farswap_stats stats = {};
    stats.size = sizeof(stats);
    const bool refused =
        farswap_client_open(&options, &client) == -EPERM &&
        farswap_group_create(client_, nullptr, &group) == -EPERM &&
        farswap_region_create(group_, nullptr, &more) == -EPERM &&
        farswap_client_stats(client_, &stats) == -EPERM &&
        farswap_client_stats_json(client_) == nullptr &&
        farswap_region_destroy(region) == -EPERM &&
        farswap_group_destroy(group_) == -EPERM &&
        farswap_client_close(client_) == -EPERM;
    _exit(refused ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  uint64_t wrong = 0;
  for (uint64_t i = 0; i < 16 * kMiB; ++i) {
    wrong += data[i] != static_cast<char>(i % 251) ? 1 : 0;
  }
  EXPECT_EQ(wrong, 0u);
  EXPECT_EQ(farswap_region_destroy(region), 0) << farswap_last_error();
}

TEST_F(FarswapMisuseTest, ClosesThoughTheServerIsAway) {
  farswap_client* const client = Open();
  farswap_group* const group = MakeGroup(client);
  farswap_region* const region = MakeRegion(group, 32 * kMiB);
  auto* const data = static_cast<char*>(farswap_region_address(region));
  for (uint64_t i = 0; i < 32 * kMiB; ++i) data[i] = static_cast<char>(i % 251);
  ASSERT_EQ(kill(server_->pid(), SIGKILL), 0);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(farswap_region_destroy(region), 0) << farswap_last_error();
  EXPECT_EQ(farswap_group_destroy(group), 0) << farswap_last_error();
  EXPECT_EQ(farswap_client_close(client), 0) << farswap_last_error();
  const auto took = std::chrono::steady_clock::now() - begin;
  EXPECT_LT(took, std::chrono::seconds(20)) << "2 s are meant";
}

// The SigBlk of each thread of this process but the caller.
std::vector<std::string> BlockedByOthers() {
  std::vector<std::string> masks;
  for (const auto& task :
       std::filesystem::directory_iterator("/proc/self/task")) {
    if (task.path().filename() == std::to_string(gettid())) continue;
    std::ifstream file(task.path() / "status");
    for (std::string line; std::getline(file, line);) {
      if (line.find("SigBlk:") == 0) masks.push_back(line.substr(8));
    }
  }
  return masks;
}

TEST_F(FarswapMisuseTest, NoHandlerOfTheProgramRunsOnTheLibrarysThreads) {
  farswap_region* const region = MakeRegion(group_, 32 * kMiB);
  auto* const data = static_cast<char*>(farswap_region_address(region));
  for (uint64_t i = 0; i < 32 * kMiB; i += 4096) data[i] = 1;
  const std::vector<std::string> masks = BlockedByOthers();
  EXPECT_GT(masks.size(), 5u) << "gRPC's threads, the pager's";
  for (const std::string& mask : masks) {
    const uint64_t bits = std::stoull(mask, nullptr, 16);
    for (const int number : {SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGALRM, SIGPROF,
                             SIGCHLD, SIGRTMIN}) {
      EXPECT_NE(bits & (uint64_t{1} << (number - 1)), 0u)
          << "signal " << number << ", mask " << mask;
    }
  }
  EXPECT_EQ(farswap_region_destroy(region), 0);
}

}  // namespace
}  // namespace farswap

#include "client/launcher/run/local_memory.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace farswap::launcher {
namespace {

TEST(LocalMemoryTest, TheLeastLimitOnTheWayUpCounts) {
  char folder[] = "/tmp/farswap-cgroup-test-XXXXXX";
  const std::string mount = mkdtemp(folder);
  std::filesystem::create_directories(mount + "/a/b");
  EXPECT_EQ(CgroupLimit(mount, "/a/b"), UINT64_MAX);
  std::ofstream(mount + "/a/b/memory.max") << "max\n";
  EXPECT_EQ(CgroupLimit(mount, "/a/b"), UINT64_MAX);
  std::ofstream(mount + "/a/memory.max") << "1000\n";
  EXPECT_EQ(CgroupLimit(mount, "/a/b"), 1000U);
  EXPECT_EQ(CgroupLimit(mount, "/"), UINT64_MAX);
  // A container sees its own limit at the top.
  std::ofstream(mount + "/memory.max") << "500\n";
  EXPECT_EQ(CgroupLimit(mount, "/a/b"), 500U);
  EXPECT_EQ(CgroupLimit(mount, "/"), 500U);
  EXPECT_EQ(CgroupLimit(mount, ""), 500U);
  std::filesystem::remove_all(mount);
}

TEST(LocalMemoryTest, TheDefaultIsUsable) {
  EXPECT_GE(DefaultLocalMemory(), uint64_t{16} << 20);
}

}  // namespace
}  // namespace farswap::launcher

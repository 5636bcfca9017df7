#include "server/pool.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>

#include "tests/server/temp_dir.h"
#include "tests/server/tmpfs_mount.h"

namespace farswap::server {
namespace {

std::unique_ptr<Pool> MustOpen(const std::string& pool, uint64_t clusters) {
  auto opened = Pool::Open({pool, clusters, false});
  EXPECT_TRUE(opened.ok()) << opened.status();
  return opened.ok() ? *std::move(opened) : nullptr;
}

bool AllZero(const Pool& pool, uint64_t cluster) {
  const char* const data = pool.Data(cluster);
  return std::all_of(data, data + kClusterBytes, [](char c) { return c == 0; });
}

class PoolKindTest : public ::testing::TestWithParam<bool> {
 protected:
  std::string PoolName() const { return GetParam() ? dir_ / "pool" : "anon"; }
  TempDir dir_;
};

TEST_P(PoolKindTest, EmptiesWhatWasUsed) {
  const auto pool = MustOpen(PoolName(), 4);
  ASSERT_TRUE(pool->Erase().ok());
  ASSERT_TRUE(pool->Format("server", 1, 1).ok());
  EXPECT_EQ(pool->Back({1, 2}), 2u);
  EXPECT_TRUE(AllZero(*pool, 1));
  std::memset(pool->Data(1), 1, 2 * kClusterBytes);
  ASSERT_TRUE(pool->Scrub(1, 1).ok());
  EXPECT_TRUE(AllZero(*pool, 1));
  EXPECT_EQ(pool->Data(2)[0], 1);
}

TEST_P(PoolKindTest, ClustersAreAligned) {
  const auto pool = MustOpen(PoolName(), 4);
  ASSERT_TRUE(pool->Erase().ok());
  EXPECT_EQ(reinterpret_cast<uintptr_t>(pool->Data(3)) % kPageBytes, 0u);
  EXPECT_EQ(pool->Data(3) - pool->Data(0),
            static_cast<ptrdiff_t>(3 * kClusterBytes));
}

INSTANTIATE_TEST_SUITE_P(Kinds, PoolKindTest, ::testing::Bool(),
                         [](const auto& info) {
                           return info.param ? "File" : "Anon";
                         });

TEST(PoolTest, AFileSaysWhoseItIs) {
  TempDir dir;
  {
    const auto pool = MustOpen(dir / "pool", 4);
    EXPECT_NE(pool->facts().no_header, "");
    ASSERT_TRUE(pool->Erase().ok());
    ASSERT_TRUE(pool->Format("server", 42, 7).ok());
    ASSERT_EQ(pool->Back({3}), 1u);
    std::memset(pool->Data(3), 9, kClusterBytes);
    pool->SetIntended(9);
    pool->SetCommitted(8);
  }
  const auto pool = MustOpen(dir / "pool", 4);
  const PoolFacts& facts = pool->facts();
  EXPECT_EQ(facts.no_header, "");
  EXPECT_EQ(facts.server_id, "server");
  EXPECT_EQ(facts.incarnation, 42u);
  EXPECT_EQ(facts.intended, 9u);
  EXPECT_EQ(facts.committed, 8u);
  EXPECT_FALSE(facts.clean);
  EXPECT_TRUE(facts.same_boot);
  EXPECT_EQ(facts.recorded_clusters, 4u);
  EXPECT_EQ(facts.file_clusters, 4u);
  EXPECT_GE(facts.backed_clusters, 1u);
  ASSERT_TRUE(pool->Adopt(9).ok());
  EXPECT_EQ(pool->Data(3)[kClusterBytes - 1], 9);
}

TEST(PoolTest, RemembersACleanStopUntilTheNextStart) {
  TempDir dir;
  {
    const auto pool = MustOpen(dir / "pool", 1);
    ASSERT_TRUE(pool->Erase().ok());
    ASSERT_TRUE(pool->Format("server", 1, 1).ok());
    ASSERT_TRUE(pool->MarkClean().ok());
  }
  {
    const auto pool = MustOpen(dir / "pool", 1);
    EXPECT_TRUE(pool->facts().clean);
    ASSERT_TRUE(pool->Adopt(1).ok());
  }
  EXPECT_FALSE(MustOpen(dir / "pool", 1)->facts().clean);
}

TEST(PoolTest, AnEmptiedFileBelongsToNobody) {
  TempDir dir;
  {
    const auto pool = MustOpen(dir / "pool", 1);
    ASSERT_TRUE(pool->Erase().ok());
    ASSERT_TRUE(pool->Format("server", 1, 1).ok());
    ASSERT_TRUE(pool->Erase().ok());
  }
  EXPECT_EQ(MustOpen(dir / "pool", 1)->facts().incarnation, 0u);
}

TEST(PoolTest, SeesTruncationAndDamage) {
  TempDir dir;
  {
    const auto pool = MustOpen(dir / "pool", 4);
    ASSERT_TRUE(pool->Erase().ok());
    ASSERT_TRUE(pool->Format("server", 1, 1).ok());
    ASSERT_EQ(pool->Back({0, 1}), 2u);
  }
  // Cut and grown again: the length is right, the backing is gone.
  const std::string path = dir / "pool";
  ASSERT_EQ(truncate(path.c_str(), kPoolHeaderBytes), 0);
  {
    const auto pool = MustOpen(path, 4);
    EXPECT_EQ(pool->facts().file_clusters, 0u);
    EXPECT_EQ(pool->facts().recorded_clusters, 4u);
  }
  // Looking has not mended it.
  EXPECT_EQ(MustOpen(path, 4)->facts().file_clusters, 0u);
  ASSERT_EQ(truncate(path.c_str(), kPoolHeaderBytes + 4 * kClusterBytes), 0);
  EXPECT_EQ(MustOpen(path, 4)->facts().file_clusters, 4u);
  EXPECT_EQ(MustOpen(path, 4)->facts().backed_clusters, 0u);
  std::fstream(path, std::ios::in | std::ios::out).seekp(20) << "X";
  EXPECT_NE(MustOpen(path, 4)->facts().no_header.find("damaged"),
            std::string::npos);
}

TEST(PoolTest, RefusesWhatIsNoPool) {
  TempDir dir;
  std::ofstream(dir / "letter") << "Dear Sir";
  const auto pool = Pool::Open({dir / "letter", 1, false});
  ASSERT_FALSE(pool.ok());
  EXPECT_EQ(std::filesystem::file_size(dir / "letter"), 8u);
  EXPECT_FALSE(Pool::Open({dir.path(), 1, false}).ok());
  EXPECT_FALSE(Pool::Open({dir / "no/such/place", 1, false}).ok());
}

// A disk image has zeros where a pool has its header; one of something that
// was wiped at its beginning, or just allocated, has more of them.
TEST(PoolTest, RefusesWhatMerelyBeginsWithZeros) {
  TempDir dir;
  const std::string path = dir / "disk.img";
  for (const uint64_t at : {uint64_t{1080}, kPoolHeaderBytes - 2}) {
    std::ofstream(path) << "";
    ASSERT_EQ(truncate(path.c_str(), 64 << 20), 0);
    std::fstream(path, std::ios::in | std::ios::out).seekp(at) << "\x53\xef";
    EXPECT_FALSE(Pool::Open({path, 1, false}).ok()) << at;
  }
  std::ofstream(path) << "";
  const int fd = open(path.c_str(), O_RDWR);
  ASSERT_EQ(posix_fallocate(fd, 0, 8 << 20), 0);
  close(fd);
  EXPECT_FALSE(Pool::Open({path, 1, false}).ok());
  // A file that is empty, sparse, or a first start's that was killed.
  for (const uint64_t allocated : {uint64_t{0}, kPoolHeaderBytes}) {
    std::ofstream(path) << "";
    ASSERT_EQ(truncate(path.c_str(), 64 << 20), 0);
    const int file = open(path.c_str(), O_RDWR);
    if (allocated != 0) {
      ASSERT_EQ(posix_fallocate(file, 0, static_cast<off_t>(allocated)), 0);
    }
    close(file);
    EXPECT_TRUE(Pool::Open({path, 1, false}).ok()) << allocated;
  }
}

TEST(PoolTest, ABootThatHasNoNameIsNotTheSame) {
  PoolHeader header = MakePoolHeader("server", 1, 1);
  EXPECT_TRUE(IsSameBoot(header, header.boot_id));
  EXPECT_FALSE(IsSameBoot(header, "another"));
  header.boot_id[0] = 0;
  EXPECT_FALSE(IsSameBoot(header, ""));
}

TEST(PoolTest, RefusesASecondUser) {
  TempDir dir;
  const auto first = MustOpen(dir / "pool", 1);
  const auto second = Pool::Open({dir / "pool", 1, false});
  ASSERT_FALSE(second.ok());
  EXPECT_NE(second.status().message().find("another farswap-server"),
            absl::string_view::npos);
}

TEST(PoolTest, RefusesMoreThanThereIsUnlessTold) {
  // 1 PiB is more than any machine this runs on has.
  const auto refused = Pool::Open({"anon", kMaxClusters / 16, false});
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.status().message().find("--allow-overcommit"),
            absl::string_view::npos);
  TempDir dir;
  EXPECT_FALSE(Pool::Open({dir / "pool", kMaxClusters / 16, false}).ok());
  EXPECT_FALSE(Pool::Open({"anon", 0, true}).ok());
  EXPECT_FALSE(Pool::Open({"anon", kMaxClusters + 1, true}).ok());
}

TEST(PoolTest, AFullFileSystemIsAnErrorOfBackAndNothingElse) {
  TempDir dir;
  const TmpfsMount tmpfs(dir / "tmpfs", "size=8m");
  if (!tmpfs.mounted()) {
    GTEST_SKIP() << "NOT RUN: mounting a small tmpfs needs root";
  }
  auto opened = Pool::Open({tmpfs / "pool", 100, true});
  ASSERT_TRUE(opened.ok()) << opened.status();
  Pool& pool = **opened;
  ASSERT_TRUE(pool.Erase().ok());
  ASSERT_TRUE(pool.Format("server", 1, 1).ok());
  // 8 MiB: the header and three clusters.
  EXPECT_EQ(pool.Back({10, 11, 12, 13, 14}), 3u);
  std::memset(pool.Data(10), 1, 3 * kClusterBytes);
  // What is freed can be had again.
  ASSERT_TRUE(pool.Scrub(11, 1).ok());
  EXPECT_EQ(pool.Back({14, 15}), 1u);
}

class PoolRoomTest : public ::testing::TestWithParam<const char*> {};

TEST_P(PoolRoomTest, AFileSystemWithoutALimitHasRoom) {
  TempDir dir;
  const bool huge = std::string(GetParam()) == "hugetlbfs";
  const TmpfsMount mount(dir / "mount", huge ? "" : "size=0", GetParam());
  if (!mount.mounted()) {
    GTEST_SKIP() << "NOT RUN: mounting a " << GetParam() << " needs root";
  }
  EXPECT_TRUE(Pool::Open({mount / "pool", 4, false}).ok());
}

INSTANTIATE_TEST_SUITE_P(Kinds, PoolRoomTest,
                         ::testing::Values("tmpfs", "hugetlbfs"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace farswap::server

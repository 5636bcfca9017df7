// The kernel's side of the seam, on the kernel that runs here: the facts that
// the pager is built on.
#include "client/pager/uffd.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <thread>

#include "client/pager/mapping.h"
#include "common/units.h"
#include "gtest/gtest.h"
#include "tests/client/pager/pager_fixture.h"

namespace farswap::pager {
namespace {

class UffdTest : public testing::Test {
 protected:
  void SetUp() override {
    auto uffd = Uffd::Create();
    ASSERT_TRUE(uffd.ok()) << uffd.status();
    uffd_ = std::move(*uffd);
    region_ = MapAligned(2 * kPmdBytes);
    staging_ = MapAligned(2 * kPmdBytes);
    ASSERT_TRUE(uffd_->Register(region_, 2 * kPmdBytes).ok());
    ASSERT_TRUE(uffd_->Register(staging_, 2 * kPmdBytes).ok());
    nursery_ = MapAligned(kPmdBytes);
    std::memset(nursery_, 0x11, kPmdBytes);
  }
  void TearDown() override {
    munmap(region_, 2 * kPmdBytes);
    munmap(staging_, 2 * kPmdBytes);
    munmap(nursery_, kPmdBytes);
  }

  std::unique_ptr<Uffd> uffd_;
  char* region_ = nullptr;
  char* staging_ = nullptr;
  char* nursery_ = nullptr;
};

TEST_F(UffdTest, ABlockMovesHugeInAndOutAndBack) {
  ASSERT_TRUE(uffd_->IsHuge(nursery_)) << "no 2 MiB page to be had";
  ASSERT_TRUE(uffd_->MoveIn(region_, nursery_, kPmdBytes).ok());
  EXPECT_TRUE(uffd_->IsHuge(region_));
  EXPECT_FALSE(uffd_->IsPresent(nursery_));
  ASSERT_TRUE(uffd_->MoveOut(staging_, region_, kPmdBytes).ok());
  EXPECT_FALSE(uffd_->IsPresent(region_));
  EXPECT_TRUE(uffd_->IsHuge(staging_));
  EXPECT_EQ(staging_[kPmdBytes - 1], 0x11);
  ASSERT_TRUE(uffd_->MoveIn(region_, staging_, kPmdBytes).ok());
  EXPECT_TRUE(uffd_->IsHuge(region_));
}

TEST_F(UffdTest, ALeftoverTableSplitsABlockAndZapMendsIt) {
  ASSERT_TRUE(uffd_->CopyIn(region_, nursery_, kPageBytes).ok());
  ASSERT_TRUE(uffd_->MoveOut(staging_ + kPmdBytes, region_, kPageBytes).ok());
  // Every page is out, but the table is left.
  ASSERT_TRUE(uffd_->Zap(region_, kPmdBytes).ok());
  ASSERT_TRUE(uffd_->MoveIn(region_, nursery_, kPmdBytes).ok());
  EXPECT_TRUE(uffd_->IsHuge(region_));
}

TEST_F(UffdTest, NothingPresentIsOverwritten) {
  ASSERT_TRUE(uffd_->CopyIn(region_ + kPageBytes, nursery_, kPageBytes).ok());
  region_[kPageBytes] = 0x22;
  const OpResult copy = uffd_->CopyIn(region_, nursery_, 3 * kPageBytes);
  EXPECT_EQ(copy.error, EEXIST);
  EXPECT_EQ(copy.done, kPageBytes);
  EXPECT_EQ(region_[kPageBytes], 0x22);
  const OpResult move = uffd_->MoveIn(region_, nursery_, kPageBytes);
  EXPECT_EQ(move.error, EEXIST);
  EXPECT_EQ(move.done, 0u);
}

TEST_F(UffdTest, AHoleIsToldFromAPage) {
  ASSERT_TRUE(uffd_->CopyIn(region_, nursery_, 2 * kPageBytes).ok());
  EXPECT_TRUE(uffd_->IsPresent(region_));
  EXPECT_FALSE(uffd_->IsPresent(region_ + 2 * kPageBytes));
  const OpResult move = uffd_->MoveOut(staging_, region_, 4 * kPageBytes);
  EXPECT_EQ(move.error, ENOENT);
  EXPECT_EQ(move.done, 2 * kPageBytes);
}

TEST_F(UffdTest, MlockedAndProtectedPagesAreRefused) {
  ASSERT_TRUE(uffd_->CopyIn(region_, nursery_, kPageBytes).ok());
  ASSERT_EQ(mprotect(region_, 2 * kPmdBytes, PROT_READ), 0);
  EXPECT_EQ(uffd_->MoveOut(staging_, region_, kPageBytes).error, EINVAL);
  ASSERT_EQ(mprotect(region_, 2 * kPmdBytes, PROT_READ | PROT_WRITE), 0);
  ASSERT_EQ(mlock2(region_, kPageBytes, MLOCK_ONFAULT), 0);
  EXPECT_EQ(uffd_->MoveOut(staging_, region_, kPageBytes).error, EINVAL);
}

TEST_F(UffdTest, PoisonIsSigbus) {
  ASSERT_TRUE(uffd_->Poison(region_, 2 * kPageBytes).ok());
  EXPECT_FALSE(IsReadable(region_));
  EXPECT_FALSE(IsReadable(region_ + kPageBytes));
}

TEST_F(UffdTest, AFaultIsReadAndServedAndStopEndsTheWait) {
  const int stop = eventfd(0, EFD_CLOEXEC);
  std::atomic<uint32_t> tid{0};
  std::atomic<char> seen{0};
  std::thread reader([&] {
    tid = static_cast<uint32_t>(gettid());
    seen = region_[5 * kPageBytes + 123];
  });
  const std::optional<Fault> fault = uffd_->Next(stop);
  ASSERT_TRUE(fault.has_value());
  EXPECT_EQ(fault->address, region_ + 5 * kPageBytes + 123);
  EXPECT_EQ(fault->tid, tid.load());
  EXPECT_FALSE(fault->write);
  ASSERT_TRUE(
      uffd_->CopyIn(region_ + 5 * kPageBytes, nursery_, kPageBytes).ok());
  reader.join();
  EXPECT_EQ(seen.load(), 0x11);
  ASSERT_EQ(eventfd_write(stop, 1), 0);
  EXPECT_FALSE(uffd_->Next(stop).has_value());
  close(stop);
}

}  // namespace
}  // namespace farswap::pager

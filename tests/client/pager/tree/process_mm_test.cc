#include "client/pager/tree/process_mm.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <memory>
#include <utility>

#include "client/pager/own_fd.h"
#include "client/pager/tree/tree_pager.h"
#include "common/units.h"
#include "gtest/gtest.h"
#include "tests/client/remote/memory_transport.h"

namespace farswap::pager {
namespace {

constexpr size_t kPages = 32;
constexpr size_t kLeft = 21;  // Of them, so that a folio of 16 is cut.

char* Map(char* at, size_t pages) {
  void* const mapped = mmap(
      at, pages * kPageBytes, PROT_READ | PROT_WRITE,
      MAP_PRIVATE | MAP_ANONYMOUS | (at == nullptr ? 0 : MAP_FIXED), -1, 0);
  return mapped == MAP_FAILED ? nullptr : static_cast<char*>(mapped);
}

// This process, as one of a tree: no mover, so nothing is taken out.
class ProcessMmTest : public testing::Test {
 protected:
  void SetUp() override {
    TreePager::Options options;
    options.limit_bytes = uint64_t{64} << 20;
    auto pager = TreePager::Create(std::move(options),
                                   std::make_unique<remote::MemoryTransport>(
                                       remote::MemoryTransport::Options{}));
    ASSERT_TRUE(pager.ok()) << pager.status();
    pager_ = *std::move(pager);
    const OwnFd device(open("/dev/userfaultfd", O_RDWR | O_CLOEXEC));
    ASSERT_TRUE(device.valid());
    OwnFd uffd(
        ioctl(device.get(), USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK));
    auto mm = pager_->Add(std::move(uffd), /*enabled=*/false, nullptr);
    ASSERT_TRUE(mm.ok()) << mm.status();
    mm_ = *std::move(mm);
    ASSERT_TRUE(pager_->Begin(mm_).ok());
    at_ = Map(nullptr, kPages);
    ASSERT_NE(at_, nullptr);
  }

  void TearDown() override {
    munmap(at_, kPages * kPageBytes);
    if (mm_ != nullptr) pager_->Remove(mm_);
  }

  char* PageAt(size_t page) const { return at_ + page * kPageBytes; }
  void Track(size_t pages) { mm_->Track(at_, PageAt(pages)); }
  // How many pages are far memory.
  size_t Tracked() const {
    size_t pages = 0;
    for (const auto& piece : mm_->regions.PiecesIn(at_, PageAt(kPages))) {
      pages += piece.pages();
    }
    return pages;
  }

  std::unique_ptr<TreePager> pager_;
  std::shared_ptr<ProcessMm> mm_;
  char* at_ = nullptr;
};

TEST_F(ProcessMmTest, AllOfAMappingBecomesFarMemory) {
  Track(kPages);
  EXPECT_EQ(Tracked(), kPages);
  for (size_t page = 0; page < kPages; ++page) EXPECT_EQ(*PageAt(page), 0);
  EXPECT_EQ(pager_->usage_bytes(), kPages * kPageBytes);
}

// It was unmapped between the reading of the map and now, and nobody was told,
// as it was not far memory.
TEST_F(ProcessMmTest, AHoleIsNoFarMemory) {
  ASSERT_EQ(munmap(PageAt(kLeft), (kPages - kLeft) * kPageBytes), 0);
  Track(kPages);
  EXPECT_EQ(Tracked(), kLeft);
}

TEST_F(ProcessMmTest, WhatIsMappedIntoAHoleIsNotLost) {
  ASSERT_EQ(munmap(PageAt(kLeft), (kPages - kLeft) * kPageBytes), 0);
  Track(kPages);
  ASSERT_NE(Map(PageAt(kLeft), kPages - kLeft), nullptr);
  *PageAt(kLeft) = 'x';
  for (size_t page = 0; page < kLeft; ++page) EXPECT_EQ(*PageAt(page), 0);
  Track(kPages);
  EXPECT_EQ(Tracked(), kPages);
  EXPECT_EQ(*PageAt(kLeft), 'x');
  for (size_t page = kLeft + 1; page < kPages; ++page) {
    EXPECT_EQ(*PageAt(page), 0);
  }
  EXPECT_EQ(pager_->Stats().pages_lost, 0U);
}

TEST_F(ProcessMmTest, WhatIsNotToBeFarIsLetGo) {
  Track(kPages);
  *PageAt(3) = 'x';
  mm_->Untrack(at_, PageAt(kPages));
  EXPECT_EQ(Tracked(), 0U);
  EXPECT_EQ(*PageAt(3), 'x');
  EXPECT_EQ(*PageAt(kPages - 1), 0);
  EXPECT_EQ(pager_->usage_bytes(), 0U);
}

}  // namespace
}  // namespace farswap::pager

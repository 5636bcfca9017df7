// The kernel's side of the seam, on the kernel that runs here: the facts that
// the pager is built on.
#include "client/pager/uffd.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

#include "client/pager/mapping.h"
#include "common/mutex.h"
#include "common/units.h"
#include "gtest/gtest.h"
#include "tests/client/pager/pager_fixture.h"

namespace farswap::pager {
namespace {

#ifdef __SANITIZE_THREAD__
constexpr bool kTsan = true;
#else
constexpr bool kTsan = false;
#endif

// Reads on, as somebody must while the map changes, and keeps the changes.
class Reader {
 public:
  explicit Reader(Uffd* uffd) : stop_(eventfd(0, EFD_CLOEXEC)) {
    thread_ = std::thread([this, uffd] {
      const WaitSet set({uffd->fd(), stop_});
      while (const auto message = uffd->Next(set)) {
        MutexLock lock(&mu_);
        changes_.push_back(message->change);
      }
    });
  }
  ~Reader() {
    eventfd_write(stop_, 1);
    thread_.join();
    close(stop_);
  }
  std::vector<MapEvent> changes() {
    MutexLock lock(&mu_);
    return changes_;
  }

 private:
  const int stop_;
  Mutex mu_;
  std::vector<MapEvent> changes_ ABSL_GUARDED_BY(mu_);
  std::thread thread_;
};

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
    // Nobody would read the events.
    ASSERT_TRUE(uffd_->Unregister(region_, 2 * kPmdBytes).ok());
    ASSERT_TRUE(uffd_->Unregister(staging_, 2 * kPmdBytes).ok());
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
  EXPECT_EQ(uffd_->FirstAbsent(region_, region_ + 2 * kPmdBytes),
            region_ + kPmdBytes);
  ASSERT_TRUE(uffd_->MoveOut(staging_, region_, kPmdBytes).ok());
  EXPECT_FALSE(uffd_->IsPresent(region_));
  EXPECT_TRUE(uffd_->IsHuge(staging_));
  EXPECT_EQ(staging_[kPmdBytes - 1], 0x11);
  ASSERT_TRUE(uffd_->MoveIn(region_, staging_, kPmdBytes).ok());
  EXPECT_TRUE(uffd_->IsHuge(region_));
}

TEST_F(UffdTest, ALeftoverTableSplitsABlockUnlessItIsDropped) {
  Reader reader(uffd_.get());
  ASSERT_TRUE(uffd_->CopyIn(region_, nursery_, kPageBytes).ok());
  ASSERT_TRUE(uffd_->MoveOut(staging_ + kPmdBytes, region_, kPageBytes).ok());
  // Every page is out, but the table is left.
  ASSERT_TRUE(uffd_->DropTable(region_).ok());
  EXPECT_TRUE(reader.changes().empty());
  ASSERT_TRUE(uffd_->MoveIn(region_, nursery_, kPmdBytes).ok());
  EXPECT_TRUE(uffd_->IsHuge(region_));
}

TEST_F(UffdTest, ATableIsNotDroppedWhereTheProgramLockedOrCutTheMapping) {
  Reader reader(uffd_.get());
  ASSERT_EQ(mprotect(region_, kPageBytes, PROT_READ), 0);
  EXPECT_EQ(uffd_->DropTable(region_).error, EFAULT);
  ASSERT_EQ(mprotect(region_, kPageBytes, PROT_READ | PROT_WRITE), 0);
  // As system calls: under ASan the functions do nothing.
  ASSERT_EQ(syscall(SYS_mlock2, region_, 2 * kPmdBytes, MLOCK_ONFAULT), 0);
  EXPECT_EQ(uffd_->DropTable(region_).error, EINVAL);
  ASSERT_EQ(syscall(SYS_munlock, region_, 2 * kPmdBytes), 0);
  EXPECT_TRUE(uffd_->DropTable(region_).ok());
}

// The kernel unmaps the scratch before it sees that the move would pass a
// limit. Seen to fail where the place was left free.
TEST_F(UffdTest, ADropThatFailsHalfwayLeavesItsScratchToNobody) {
  if (kTsan) GTEST_SKIP() << "TSan needs memory that the limit forbids";
  Reader reader(uffd_.get());
  rlimit usual{};
  ASSERT_EQ(getrlimit(RLIMIT_DATA, &usual), 0);
  const rlimit none{kPageBytes, usual.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_DATA, &none), 0);
  const OpResult dropped = uffd_->DropTable(region_);
  ASSERT_EQ(setrlimit(RLIMIT_DATA, &usual), 0);
  EXPECT_EQ(dropped.error, ENOMEM);
  EXPECT_EQ(mmap(uffd_->scratch(), kPmdBytes, PROT_NONE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0),
            MAP_FAILED);
  EXPECT_EQ(errno, EEXIST);
  EXPECT_TRUE(uffd_->DropTable(region_).ok());
}

// Drops while another thread of the program unmaps the very block and has its
// own memory there: that is never moved away.
TEST_F(UffdTest, ADropLeavesTheProgramsOwnMemoryAlone) {
  Reader reader(uffd_.get());
  for (int i = 0; i < 500; ++i) {
    char* const block = MapAligned(kPmdBytes);
    ASSERT_TRUE(uffd_->Register(block, kPmdBytes).ok());
    std::atomic<bool> go{false};
    std::thread program([&] {
      while (!go) {
      }
      munmap(block, kPmdBytes);
      ASSERT_EQ(mmap(block, kPmdBytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
                block);
      for (int n = 1; n < 5000; ++n) {
        block[n] = 'x';
        ASSERT_EQ(block[n], 'x') << "after " << n;
        ASSERT_EQ(block[1], 'x') << "after " << n;
      }
    });
    go = true;
    for (int n = 0; n < i % 8; ++n) (void)uffd_->DropTable(block);
    program.join();
    munmap(block, kPmdBytes);
    for (const MapEvent& change : reader.changes()) uffd_->Applied(change);
  }
}

// Another thread maps there what the first one has unmapped, and does not wait
// for its event.
TEST_F(UffdTest, ADropLeavesAloneWhatIsThereBeforeTheUnmappingIsRead) {
  char* const block = MapAligned(kPmdBytes);
  ASSERT_TRUE(uffd_->Register(block, kPmdBytes).ok());
  std::thread first([&] { munmap(block, kPmdBytes); });
  ASSERT_TRUE(Eventually([&] {
    return mmap(block, kPmdBytes, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
                0) == block;
  }));
  block[0] = 'x';
  EXPECT_EQ(uffd_->DropTable(block).error, EAGAIN);
  EXPECT_EQ(block[0], 'x');
  const Reader reader(uffd_.get());
  first.join();
  munmap(block, kPmdBytes);
}

TEST_F(UffdTest, OurZapIsNoChangeAndTheProgramsIs) {
  Reader reader(uffd_.get());
  ASSERT_TRUE(uffd_->CopyIn(region_, nursery_, 4 * kPageBytes).ok());
  ASSERT_TRUE(uffd_->Zap(region_, kPmdBytes).ok());
  EXPECT_TRUE(reader.changes().empty());
  ASSERT_EQ(madvise(region_ + kPageBytes, 2 * kPageBytes, MADV_DONTNEED), 0);
  const MapEvent change{MapEvent::Kind::kRemove, region_ + kPageBytes,
                        region_ + 3 * kPageBytes, nullptr};
  EXPECT_TRUE(Eventually([&] { return !reader.changes().empty(); }));
  EXPECT_EQ(reader.changes(), std::vector<MapEvent>{change});
}

TEST_F(UffdTest, NothingGoesWhereAChangeIsNotApplied) {
  Reader reader(uffd_.get());
  ASSERT_EQ(madvise(region_, 2 * kPageBytes, MADV_DONTNEED), 0);
  ASSERT_TRUE(Eventually([&] { return !reader.changes().empty(); }));
  EXPECT_TRUE(uffd_->IsChanging(region_ + kPageBytes, kPageBytes));
  EXPECT_FALSE(uffd_->IsChanging(region_ + 2 * kPageBytes, kPageBytes));
  EXPECT_EQ(uffd_->CopyIn(region_, nursery_, kPageBytes).error, EAGAIN);
  EXPECT_EQ(uffd_->MoveIn(region_, nursery_, kPmdBytes).error, EAGAIN);
  EXPECT_EQ(uffd_->MoveOut(staging_, region_, kPageBytes).error, EAGAIN);
  EXPECT_EQ(uffd_->Poison(region_, kPageBytes).error, EAGAIN);
  EXPECT_EQ(uffd_->Zap(region_, kPmdBytes).error, EAGAIN);
  EXPECT_TRUE(
      uffd_->CopyIn(region_ + 2 * kPageBytes, nursery_, kPageBytes).ok());
  ASSERT_EQ(reader.changes().size(), 1u);
  uffd_->Applied(reader.changes()[0]);
  EXPECT_TRUE(uffd_->CopyIn(region_, nursery_, kPageBytes).ok());
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
  const WaitSet set({uffd_->fd(), stop});
  const std::optional<Message> message = uffd_->Next(set);
  ASSERT_TRUE(message.has_value() && message->fault.has_value());
  const std::optional<Fault> fault = message->fault;
  EXPECT_EQ(fault->address, region_ + 5 * kPageBytes + 123);
  EXPECT_EQ(fault->tid, tid.load());
  EXPECT_FALSE(fault->write);
  ASSERT_TRUE(
      uffd_->CopyIn(region_ + 5 * kPageBytes, nursery_, kPageBytes).ok());
  reader.join();
  EXPECT_EQ(seen.load(), 0x11);
  ASSERT_EQ(eventfd_write(stop, 1), 0);
  EXPECT_FALSE(uffd_->Next(set).has_value());
  close(stop);
}

}  // namespace
}  // namespace farswap::pager

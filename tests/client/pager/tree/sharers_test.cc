// What processes share since a fork: counted once, whoever has it.
#include "client/pager/tree/sharers.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <functional>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "client/pager/own_fd.h"
#include "client/pager/tree/tree_pager.h"
#include "common/mutex.h"
#include "common/units.h"
#include "gtest/gtest.h"
#include "tests/client/remote/memory_transport.h"

namespace farswap::pager {
namespace {

constexpr size_t kPages = 2 * kPagesPerPart;
constexpr size_t kBytes = kPages * kPageBytes;
constexpr std::chrono::seconds kPatience{10};

// This process and children of its, as a tree: without movers, so nothing is
// taken out.
class SharersTest : public testing::Test {
 protected:
  struct Child {
    pid_t pid;
    std::shared_ptr<ProcessMm> mm;
  };

  void SetUp() override;
  void TearDown() override;

  // Memory that is not far yet, with nothing beside it.
  static char* Map() {
    void* const room = mmap(nullptr, 3 * kBytes, PROT_NONE,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room == MAP_FAILED) return nullptr;
    char* const at = static_cast<char*>(room) + kBytes;
    return mprotect(at, kBytes, PROT_READ | PROT_WRITE) == 0 ? at : nullptr;
  }
  static void Unmap(char* at) { munmap(at - kBytes, 3 * kBytes); }
  void Track(char* at) { mm_->Track(at, at + kBytes); }
  // Forks a child, which does that and waits to be ended.
  void Fork(const std::function<void()>& act);
  void End(size_t child);
  // Waits until so many pages are charged, and as many are found.
  void Expect(size_t pages);

  char* at_ = nullptr;

 private:
  std::unique_ptr<TreePager> pager_;
  std::shared_ptr<ProcessMm> mm_;
  // Null: nobody has told of a fork.
  std::shared_ptr<ProcessMm> AwaitForked();

  Mutex mu_;
  CondVar told_;
  std::shared_ptr<ProcessMm> forked_ ABSL_GUARDED_BY(mu_);
  std::vector<Child> children_;
};

void SharersTest::SetUp() {
  TreePager::Options options;
  options.limit_bytes = uint64_t{64} << 20;
  options.on_fork = [this](const ProcessMm&, const auto& child) {
    MutexLock lock(&mu_);
    forked_ = child;
    told_.Signal();
  };
  auto pager = TreePager::Create(std::move(options),
                                 std::make_unique<remote::MemoryTransport>(
                                     remote::MemoryTransport::Options{}));
  ASSERT_TRUE(pager.ok()) << pager.status();
  pager_ = *std::move(pager);
  const OwnFd device(open("/dev/userfaultfd", O_RDWR | O_CLOEXEC));
  ASSERT_TRUE(device.valid());
  OwnFd uffd(ioctl(device.get(), USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK));
  auto mm = pager_->Add(std::move(uffd), /*enabled=*/false, nullptr);
  ASSERT_TRUE(mm.ok()) << mm.status();
  mm_ = *std::move(mm);
  mm_->uffd().SetPagemapOf(static_cast<uint32_t>(getpid()));
  ASSERT_TRUE(pager_->Begin(mm_).ok());
  at_ = Map();
  ASSERT_NE(at_, nullptr);
  Track(at_);
  memset(at_, 'p', kBytes);
  Expect(kPages);
}

void SharersTest::TearDown() {
  while (!children_.empty()) End(0);
  if (at_ != nullptr) Unmap(at_);
  if (mm_ != nullptr) pager_->Remove(mm_);
}

void SharersTest::Fork(const std::function<void()>& act) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  const OwnFd ours(ends[0]);
  const OwnFd its(ends[1]);
  // fork() itself would hold the locks of malloc until the pager, which is of
  // this process, has read of it.
  const pid_t pid = _Fork();
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    char start = 0;
    // Not before it is known whose page map is whose.
    if (read(its.get(), &start, 1) == 1) act();
    (void)!write(its.get(), "", 1);
    for (;;) pause();
  }
  ASSERT_GT(pid, 0);
  children_.push_back({pid, AwaitForked()});
  ASSERT_NE(children_.back().mm, nullptr);
  children_.back().mm->uffd().SetPagemapOf(static_cast<uint32_t>(pid));
  ASSERT_EQ(write(ours.get(), "", 1), 1);
  char done = 0;
  ASSERT_EQ(read(ours.get(), &done, 1), 1);
}

std::shared_ptr<ProcessMm> SharersTest::AwaitForked() {
  const auto until = std::chrono::steady_clock::now() + kPatience;
  MutexLock lock(&mu_);
  while (forked_ == nullptr && told_.WaitUntil(&mu_, until)) {
  }
  return std::exchange(forked_, nullptr);
}

void SharersTest::End(size_t child) {
  kill(children_[child].pid, SIGKILL);
  waitpid(children_[child].pid, nullptr, 0);
  if (children_[child].mm != nullptr) pager_->Remove(children_[child].mm);
  children_.erase(children_.begin() + static_cast<ptrdiff_t>(child));
}

void SharersTest::Expect(size_t pages) {
  const auto until = std::chrono::steady_clock::now() + kPatience;
  const uint64_t bytes = pages * kPageBytes;
  while ((pager_->usage_bytes() != bytes ||
          pager_->Stats().resident_bytes != bytes) &&
         std::chrono::steady_clock::now() < until) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_EQ(pager_->usage_bytes(), bytes);
  EXPECT_EQ(pager_->Stats().resident_bytes, bytes);
}

TEST_F(SharersTest, WhatIsSharedIsCountedOnce) {
  for (int i = 0; i < 3; ++i) Fork([] {});
  // What is left to the children is found by a look at all there is.
  memset(at_, 'q', kBytes);
  Expect(2 * kPages);
}

// Whoever has them, it is not who has others at their addresses.
TEST_F(SharersTest, WhatIsLeftToOlderChildrenIsNotTakenForWhatYoungerOnesHave) {
  for (int i = 0; i < 2; ++i) Fork([] {});
  memset(at_, 'q', kBytes);
  Fork([] {});
  Expect(2 * kPages);
  memset(at_, 'r', kBytes);
  Fork([] {});
  Expect(3 * kPages);
}

// With somebody of whom nobody was told, as nothing that he has was far.
TEST_F(SharersTest, WhatWasSharedBeforeItWasFarIsCounted) {
  char* const before = Map();
  ASSERT_NE(before, nullptr);
  memset(before, 'p', kBytes);
  ASSERT_EQ(madvise(at_, kBytes, MADV_DONTFORK), 0);
  const pid_t pid = _Fork();
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) pause();
  }
  ASSERT_GT(pid, 0);
  Track(before);
  Expect(2 * kPages);
  memset(before, 'q', kBytes);
  EXPECT_EQ(before[kBytes - 1], 'q');
  kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
  Unmap(before);
}

// The kernel's zeros, which it has but once.
TEST_F(SharersTest, WhatWasReadOnlyIsNoMemory) {
  char* const zeros = Map();
  ASSERT_NE(zeros, nullptr);
  for (size_t i = 0; i < kPages; ++i) ASSERT_EQ(zeros[i * kPageBytes], 0);
  Track(zeros);
  for (int i = 0; i < 2; ++i) Fork([] {});
  memset(at_, 'q', kBytes);
  Expect(2 * kPages);
  Unmap(zeros);
}

// The children have the pages of before the write, of which none is one's own.
TEST_F(SharersTest, WhatItsOwnerLeavesToOthersIsCountedInOneOfThem) {
  for (int i = 0; i < 3; ++i) Fork([] {});
  memset(at_, 'q', kBytes);
  Expect(2 * kPages);
  End(2);
  End(1);
  Expect(2 * kPages);
  End(0);
  Expect(kPages);
  EXPECT_EQ(at_[0], 'q');
}

TEST_F(SharersTest, ACopyOfAChildsIsCounted) {
  Fork([this] { memset(at_, 'c', kBytes); });
  Fork([] {});
  Expect(2 * kPages);
  End(0);
  Expect(kPages);
}

// One page was written to, and room was made for 64 KiB.
TEST_F(SharersTest, WhatNobodyNeedsIsNotChargedForEver) {
  Fork([] {});
  at_[0] = 'q';
  // It shares nothing, and keeps the promise from being void.
  Fork([this] { madvise(at_, kBytes, MADV_DONTNEED); });
  End(0);
  Expect(kPages);
}

}  // namespace
}  // namespace farswap::pager

// Regions whose policy is to wait: a server that is away is waited for past
// every deadline, and what is known to be lost is SIGBUS all the same.
#include <atomic>
#include <thread>
#include <vector>

#include "client/pager/pager.h"
#include "tests/client/pager/pager_fixture.h"

namespace farswap::pager {
namespace {

using Transport = remote::MemoryTransport;

constexpr uint64_t kLimit = 16 * kMiB;
constexpr std::chrono::milliseconds kDeadline{100};

class PagerWaitPolicyTest : public PagerTest {
 protected:
  // A region that waits, its page p holding stamp p + 1, all of it remote.
  char* Remote(uint64_t bytes) {
    char* const at = AddRegion(bytes, /*huge=*/true, FailPolicy::kWait);
    for (uint64_t p = 0; p < bytes / kPageBytes; ++p) {
      FillPage(at + p * kPageBytes, p + 1);
    }
    PushOut(regions_.back());
    return at;
  }
  bool WaitOverdue(uint64_t faults) {
    return Eventually([&] { return pager_->Stats().faults_overdue >= faults; });
  }
};

TEST_F(PagerWaitPolicyTest, AServerThatIsAwayIsWaitedForPastTheDeadline) {
  Start(kLimit, 1024, kDeadline);
  const char* const at = Remote(4 * kMiB);
  transport_->Hold(Transport::kGet);
  std::atomic<int> right{0};
  std::vector<std::thread> readers;
  // Of one part, of another part of the block, of another block.
  for (const uint64_t page : {0, 1, 100, 600}) {
    readers.emplace_back([&, page] {
      right += IsReadable(at + page * kPageBytes) &&
               PageIs(at + page * kPageBytes, page + 1);
    });
  }
  ASSERT_TRUE(WaitOverdue(2));
  // Several deadlines later they wait still: each deadline is another get.
  ASSERT_TRUE(transport_->WaitHeld(Transport::kGet, 1));
  EXPECT_EQ(right.load(), 0);
  EXPECT_EQ(pager_->Stats().faults_failed, 0u);
  transport_->Release(Transport::kGet);
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(right.load(), 4);
  EXPECT_EQ(pager_->Stats().faults_failed, 0u);
  EXPECT_EQ(pager_->Stats().pages_lost, 0u);
  EXPECT_LE(pager_->Stats().faults_overdue, 4u) << "once a fault";
}

TEST_F(PagerWaitPolicyTest, ContentsThatAreKnownToBeGoneAreSigbus) {
  Start(kLimit, 1024, kDeadline);
  const char* const at = Remote(2 * kMiB);
  transport_->Hold(Transport::kGet);
  std::atomic<bool> readable{true};
  std::thread reader([&] { readable = IsReadable(at); });
  ASSERT_TRUE(WaitOverdue(1));
  EXPECT_TRUE(readable.load());
  // The server comes back, without the contents.
  transport_->LoseContents();
  transport_->Release(Transport::kGet);
  reader.join();
  EXPECT_FALSE(readable.load());
  EXPECT_GE(pager_->Stats().pages_lost, uint64_t{kPagesPerPart});
}

TEST_F(PagerWaitPolicyTest, AChecksumThatIsWrongTwiceIsSigbus) {
  Start(kLimit, 1024, kDeadline);
  const char* const at = Remote(2 * kMiB);
  transport_->CorruptNextGets(2);
  EXPECT_FALSE(IsReadable(at));
  EXPECT_EQ(pager_->Stats().checksum_errors, 2u);
  EXPECT_EQ(pager_->Stats().faults_overdue, 0u);
}

TEST_F(PagerWaitPolicyTest, RoomThatDoesNotComeFreeIsWaitedForToo) {
  Start(kLimit, 1024, kDeadline, 8 * kMiB);
  char* const at = AddRegion(64 * kMiB, /*huge=*/true, FailPolicy::kWait);
  transport_->Hold(Transport::kPut);
  std::thread writer([&] {
    for (uint64_t p = 0; p < 64 * kMiB / kPageBytes; ++p) {
      FillPage(at + p * kPageBytes, p + 1);
    }
  });
  EXPECT_TRUE(WaitOverdue(1));
  transport_->Release(Transport::kPut);
  writer.join();
  for (uint64_t p = 0; p < 64 * kMiB / kPageBytes; ++p) {
    ASSERT_TRUE(PageIs(at + p * kPageBytes, p + 1)) << "page " << p;
  }
  EXPECT_EQ(pager_->Stats().pages_lost, 0u);
}

TEST_F(PagerWaitPolicyTest, OtherRegionsKeepTheirDeadlines) {
  Start(kLimit, 1024, kDeadline);
  const char* const waits = Remote(2 * kMiB);
  char* const poisons = AddRegion(2 * kMiB);
  FillPage(poisons, 7);
  PushOut(regions_.back());
  transport_->Hold(Transport::kGet);
  std::atomic<bool> right{false};
  std::thread reader([&] { right = PageIs(waits, 1); });
  EXPECT_FALSE(IsReadable(poisons));
  EXPECT_TRUE(WaitOverdue(1));
  transport_->Release(Transport::kGet);
  reader.join();
  EXPECT_TRUE(right.load());
}

}  // namespace
}  // namespace farswap::pager

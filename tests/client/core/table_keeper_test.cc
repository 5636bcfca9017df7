// Invariant I18: a reader without the lock never touches a freed table, and
// what is kept for him goes when he has done. Beside each test stands what was
// broken once to see it fail.
#include "client/core/table_keeper.h"

#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "client/core/cluster_info.h"
#include "client/core/cluster_lists.h"
#include "client/core/slot_allocator.h"
#include "client/core/table_readers.h"
#include "common/units.h"
#include "gtest/gtest.h"

namespace farswap::core {
namespace {

using Hold = TableReaders::Hold;

class TableKeeperTest : public testing::Test {
 protected:
  TableKeeperTest() {
    for (int i = 0; i < 2; ++i) {
      const ClusterIndex index = lists_.Make();
      ClusterInfo& cluster = lists_.At(index);
      MutexLock lock(&cluster.mu);
      lists_.Move(cluster, index, ClusterState::kFree, 0);
    }
  }
  SwapEntry Alloc() {
    const auto entry = slots_.Allocate(0, 1);
    EXPECT_TRUE(entry);
    return *entry;
  }
  void Free(SwapEntry entry) {
    ClusterInfo& cluster = lists_.At(entry.cluster());
    MutexLock lock(&cluster.mu);
    const auto before = SlotAllocator::Before(cluster);
    cluster.ToNull(entry.slot(), 1);
    slots_.Settle(cluster, entry.cluster(), before);
  }
  bool HasTable(ClusterIndex index) {
    ClusterInfo& cluster = lists_.At(index);
    MutexLock lock(&cluster.mu);
    return cluster.has_table();
  }
  TableView View(SwapEntry entry) { return lists_.At(entry.cluster()).View(); }

  ClusterLists lists_;
  TableKeeper tables_{&lists_};
  SlotAllocator slots_{&lists_, &tables_};
};

// The reader is stopped between loading the pointer and the word. Broken by:
// FreeTable without IsRead.
TEST_F(TableKeeperTest, ATableIsNotFreedUnderItsReader) {
  const SwapEntry entry = Alloc();
  {
    const Hold hold(&tables_.readers(), entry.cluster());
    ASSERT_TRUE(hold.ok());
    const TableView view = View(entry);
    EXPECT_TRUE(view.Get(entry.slot()).is_cached());
    Free(entry);
    tables_.FreeLate();
    EXPECT_TRUE(HasTable(entry.cluster()));
    EXPECT_TRUE(tables_.IsLate(entry.cluster()));
    EXPECT_EQ(tables_.bytes(), sizeof(SwapTable));
    // What the reader sees is a free cluster.
    for (uint32_t slot = 0; slot < kSlotsPerCluster; ++slot) {
      ASSERT_TRUE(view.Get(slot).is_null());
    }
  }
  tables_.FreeLate();
  EXPECT_FALSE(HasTable(entry.cluster()));
  EXPECT_FALSE(tables_.IsLate(entry.cluster()));
  EXPECT_EQ(tables_.bytes(), 0u);
}

// Broken by: Read without FreeLate.
TEST_F(TableKeeperTest, TheReaderFreesWhatWasKeptForHim) {
  const SwapEntry entry = Alloc();
  tables_.Read(entry, [&](TableView table) {
    Free(entry);
    return table.Get(entry.slot()).raw();
  });
  EXPECT_FALSE(HasTable(entry.cluster()));
  EXPECT_EQ(tables_.bytes(), 0u);
}

// Broken by: IsRead without comparing the cluster.
TEST_F(TableKeeperTest, AReaderKeepsTheTableOfHisClusterOnly) {
  const SwapEntry entry = Alloc();
  const Hold hold(&tables_.readers(), entry.cluster() + 1);
  Free(entry);
  EXPECT_FALSE(HasTable(entry.cluster()));
  EXPECT_EQ(tables_.bytes(), 0u);
}

// Broken by: FreeLateTables without looking at used(); FreeTable without
// looking whether the cluster is on the list.
TEST_F(TableKeeperTest, AClusterThatIsUsedAgainTakesItsTableBack) {
  const SwapEntry entry = Alloc();
  auto hold = std::make_unique<Hold>(&tables_.readers(), entry.cluster());
  const TableView view = View(entry);
  SwapEntry again = entry;
  for (int i = 0; i < 3; ++i) {
    Free(again);
    EXPECT_TRUE(tables_.IsLate(entry.cluster()));
    EXPECT_EQ(tables_.late(), 1u);
    again = Alloc();
    ASSERT_EQ(again.cluster(), entry.cluster());  // The hint leads there.
    EXPECT_TRUE(view.Get(again.slot()).is_cached());
    EXPECT_EQ(tables_.bytes(), sizeof(SwapTable));
  }
  hold.reset();
  tables_.FreeLate();  // It is in use: not late any more.
  EXPECT_FALSE(tables_.IsLate(entry.cluster()));
  EXPECT_EQ(tables_.bytes(), sizeof(SwapTable));
  Free(again);
  EXPECT_EQ(tables_.bytes(), 0u);
}

// Broken by: ReadHeld looking though its Hold is not ok.
TEST_F(TableKeeperTest, AReaderWithoutAPlaceTakesTheLock) {
  const SwapEntry entry = Alloc();
  std::vector<std::unique_ptr<Hold>> holds;
  do {
    holds.push_back(std::make_unique<Hold>(&tables_.readers(), 1));
  } while (holds.back()->ok());
  EXPECT_LE(holds.size(), size_t{TableReaders::kPlaces} + 1);
  ClusterInfo& cluster = lists_.At(entry.cluster());
  const bool held = tables_.Read(entry, [&](TableView table) {
    EXPECT_TRUE(table.Get(entry.slot()).is_cached());
    bool got = true;
    std::thread other([&]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
      got = cluster.mu.TryLock();
      if (got) cluster.mu.Unlock();
    });
    other.join();
    return !got;
  });
  EXPECT_TRUE(held);
  holds.clear();
  EXPECT_TRUE(Hold(&tables_.readers(), 1).ok());
  Free(entry);
  EXPECT_EQ(tables_.bytes(), 0u);
}

}  // namespace
}  // namespace farswap::core

// The order of the program's changes, with events made by hand: no kernel, and
// nothing at the addresses.
#include <algorithm>
#include <memory>
#include <vector>

#include "client/pager/map_changes.h"
#include "common/units.h"
#include "gtest/gtest.h"

namespace farswap::pager {
namespace {

using Kind = MapEvent::Kind;

class SilentSpace final : public AddressSpace {
 public:
  OpResult CopyIn(char*, const char*, size_t) override { return {}; }
  OpResult MoveIn(char*, char*, size_t) override { return {}; }
  OpResult MoveOut(char*, char*, size_t) override { return {}; }
  OpResult Zap(char*, size_t) override { return {}; }
  OpResult DropTable(char*) override { return {}; }
  void Unmap(char*, size_t) override {}
  OpResult Poison(char*, size_t) override { return {}; }
  OpResult Wake(char*, size_t) override { return {}; }
  bool IsPresent(const char*) override { return false; }
  const char* FirstPresent(const char*, const char* end) override {
    return end;
  }
  bool IsHuge(const char*) override { return false; }
  const char* FirstAbsent(const char*, const char* end) override { return end; }
  OpResult Unshare(char*, size_t n, uint64_t*) override { return {0, n}; }
  bool GiveForked(char*, const char*) override { return false; }
  bool IsChanging(const char*, size_t) override { return false; }
  bool IsMoving(const char*, size_t) override { return false; }
  bool Settled(const char*, size_t) override { return true; }
  bool IsAllRead(size_t untold) override {
    return all_read && untold == told - applied;
  }
  size_t CountUntold() override { return told - applied; }
  void Applied(const MapEvent&) override { ++applied; }
  std::vector<char*> TakeLacked(int) override { return {}; }
  bool FindUnmapped(char* at, size_t bytes,
                    std::vector<AddressRange>* unmapped) override {
    ++asked;
    if (mapped.empty()) unmapped->emplace_back(at, at + bytes);
    for (const auto& [start, end] : mapped) {
      if (at < start) unmapped->emplace_back(at, std::min(start, at + bytes));
      if (at + bytes > end) unmapped->emplace_back(end, at + bytes);
    }
    return knows;
  }

  // What FindUnmapped finds mapped: one range or none.
  std::vector<AddressRange> mapped;
  bool knows = true;
  int asked = 0;
  bool all_read = false;
  size_t told = 0;
  size_t applied = 0;
};

// By page number.
char* At(uint64_t page) { return reinterpret_cast<char*>(page * kPageBytes); }

constexpr uint64_t kPages = 1024;
// Where the two regions are made, and other places.
constexpr uint64_t kA = 0x10000;
constexpr uint64_t kB = 0x20000;
constexpr uint64_t kY = 0x30000;
constexpr uint64_t kW = 0x40000;

class NoForks final : public ForkSink {
 public:
  void Apply(int, const std::vector<AddressRange>&,
             const std::function<void()>&) override {
    FAIL() << "there is no fork";
  }
};

class MapOrderTest : public testing::Test {
 protected:
  MapOrderTest() : changes_(&shared_, mm_.get(), &forks_) {
    mm_->space = &space_;
    a_ = AddRegion(kA);
    b_ = AddRegion(kB);
  }
  Region* AddRegion(uint64_t at) {
    return mm_->regions.Add(std::make_unique<Region>(
        mm_, At(at), kPages * kPageBytes, group_, RegionOptions{}));
  }
  void Queue(Kind kind, uint64_t start, uint64_t pages, char* to = nullptr) {
    ++space_.told;
    changes_.Queue({kind, At(start), At(start + pages), to});
  }
  void Tell(Kind kind, uint64_t start, uint64_t pages, char* to = nullptr) {
    Queue(kind, start, pages, to);
    changes_.Apply();
  }
  void Moved(uint64_t from, uint64_t to, uint64_t pages = kPages) {
    Tell(Kind::kRemap, from, pages, At(to));
  }
  void Unmapped(uint64_t at, uint64_t pages = kPages) {
    Tell(Kind::kUnmap, at, pages);
  }
  void AllIsRead() {
    space_.all_read = true;
    changes_.Apply();
    EXPECT_EQ(space_.applied, space_.told);
  }
  // Whether page `page` of the region is at `at`, both ways.
  void ExpectAt(const Region* region, uint64_t page, uint64_t at) {
    uint64_t found = 0;
    EXPECT_EQ(mm_->regions.Find(At(at), &found).get(), region);
    EXPECT_EQ(found, page);
    EXPECT_EQ(region->AddressOf(page), At(at));
  }
  void ExpectNobodyAt(uint64_t at) {
    uint64_t page = 0;
    EXPECT_EQ(mm_->regions.Find(At(at), &page), nullptr);
  }
  static PageWord::Kind KindOf(Region* region, uint64_t page) {
    return region->map().Get(page).kind();
  }

  SilentSpace space_;
  Shared shared_;
  std::shared_ptr<Mm> mm_ = std::make_shared<Mm>(&shared_.graves);
  NoForks forks_;
  MapChanges changes_;
  std::shared_ptr<core::MemoryGroup> group_ =
      std::make_shared<core::MemoryGroup>(&shared_.folios, 1024);
  Region* a_ = nullptr;
  Region* b_ = nullptr;
};

TEST_F(MapOrderTest, TheEndOfAMovePassesOverWhoLivesThereSince) {
  Moved(kA, kY);
  Moved(kB, kA);
  Unmapped(kA);  // Of the first.
  ExpectAt(a_, 5, kY + 5);
  ExpectAt(b_, 5, kA + 5);
  Unmapped(kB);
  Unmapped(kA);  // The program's.
  ExpectNobodyAt(kA);
  EXPECT_EQ(KindOf(b_, 5), PageWord::Kind::kHole);
  EXPECT_EQ(space_.applied, space_.told);
}

// What is made far memory there in between, and unmapped, would be told of by
// an unmapping that is taken for the move's.
TEST_F(MapOrderTest, WhatAMoveHasLeftIsNotSettledBeforeItsEndIsTold) {
  using Ranges = std::vector<AddressRange>;
  const auto settled = [&] {
    return changes_.WithoutVacated(At(kA), At(kA + kPages));
  };
  EXPECT_EQ(settled(), (Ranges{{At(kA), At(kA + kPages)}}));
  Moved(kA, kY, kPages / 2);
  EXPECT_EQ(settled(), (Ranges{{At(kA + kPages / 2), At(kA + kPages)}}));
  Unmapped(kA, kPages / 2);
  EXPECT_EQ(settled(), (Ranges{{At(kA), At(kA + kPages)}}));
}

TEST_F(MapOrderTest, AMoveToWhereAnUnmappingIsYetToBeTold) {
  Moved(kB, kA);
  ExpectAt(a_, 5, kA + 5);
  Unmapped(kB);
  Unmapped(kA);
  ExpectAt(b_, 5, kA + 5);
  EXPECT_EQ(KindOf(a_, 5), PageWord::Kind::kHole);
  EXPECT_EQ(KindOf(b_, 5), PageWord::Kind::kNone);
  EXPECT_EQ(space_.applied, space_.told);
}

TEST_F(MapOrderTest, AMoveToWhereAMoveIsYetToBeTold) {
  Moved(kB, kA);
  Moved(kA, kY);
  // There may be more.
  ExpectAt(a_, 5, kA + 5);
  AllIsRead();
  ExpectAt(a_, 5, kY + 5);
  ExpectAt(b_, 5, kA + 5);
  Unmapped(kA);
  Unmapped(kB);
  ExpectAt(b_, 5, kA + 5);
  EXPECT_EQ(shared_.counters.pages_lost.Get(), 0u);
}

TEST_F(MapOrderTest, WhatIsDoneBehindAHeldMoveIsDoneToWhatItMoved) {
  a_->map().Set(5, 0, PageWord(PageWord::Kind::kPoisoned, 0));
  b_->map().Set(5, 0, PageWord(PageWord::Kind::kPoisoned, 0));
  Moved(kB, kA);
  Tell(Kind::kRemove, kA, 10);
  EXPECT_EQ(KindOf(a_, 5), PageWord::Kind::kPoisoned);
  Moved(kA, kY);
  AllIsRead();
  EXPECT_EQ(KindOf(a_, 5), PageWord::Kind::kPoisoned);
  EXPECT_EQ(KindOf(b_, 5), PageWord::Kind::kNone);
}

TEST_F(MapOrderTest, TheNewcomersUnmappingIsToldFirst) {
  Unmapped(kA + 512, 512);
  // Half of the place is taken still.
  Moved(kB, kA);
  Unmapped(kA);       // The newcomer's, all of it.
  Unmapped(kA, 512);  // Of what was there before.
  AllIsRead();
  ExpectNobodyAt(kA);
  ExpectNobodyAt(kA + 600);
  EXPECT_EQ(KindOf(a_, 5), PageWord::Kind::kHole);
  EXPECT_EQ(KindOf(b_, 5), PageWord::Kind::kHole);
  EXPECT_EQ(KindOf(b_, 600), PageWord::Kind::kHole);
}

TEST_F(MapOrderTest, OnwardsFromWhereAMoveIsYetToBeTold) {
  Moved(kB, kA);
  Moved(kA, kW);
  Unmapped(kB);
  Unmapped(kA);  // The end of one move; of what was there nothing is known.
  ExpectAt(a_, 5, kA + 5);
  Unmapped(kA);  // It was unmapped.
  ExpectAt(b_, 5, kW + 5);
  EXPECT_EQ(KindOf(a_, 5), PageWord::Kind::kHole);
  EXPECT_EQ(shared_.counters.pages_lost.Get(), 0u);
}

TEST_F(MapOrderTest, WhatCannotBeKnownIsLost) {
  Moved(kB, kA);
  Moved(kA, kW);
  Moved(kA, kY);
  AllIsRead();
  EXPECT_EQ(KindOf(a_, 5), PageWord::Kind::kPoisoned);
  EXPECT_EQ(KindOf(b_, 5), PageWord::Kind::kPoisoned);
  EXPECT_GE(shared_.counters.pages_lost.Get(), 2 * kPages);
  ExpectNobodyAt(kA);
  uint64_t page = 0;
  EXPECT_NE(mm_->regions.Find(At(kW), &page), nullptr);
  EXPECT_NE(mm_->regions.Find(At(kY), &page), nullptr);
}

TEST_F(MapOrderTest, WhatAMoveLeftIsUnmappedOnce) {
  Moved(kA, kY);  // MREMAP_DONTUNMAP: its unmapping comes when it comes.
  Moved(kA, kW);  // The leftover, which is nobody's.
  AllIsRead();
  Unmapped(kA);
  ExpectNobodyAt(kW);
  Moved(kB, kA);
  Unmapped(kB);
  Unmapped(kA);
  ExpectNobodyAt(kA);
  ExpectAt(a_, 5, kY + 5);
}

// Something moves to where memory faults that is no region's.
class NobodysTest : public MapOrderTest {
 protected:
  NobodysTest() { changes_.AddNobodys(At(kY), At(kY + kPages)); }
};

TEST_F(NobodysTest, AnUnmappingThatIsToldLateIsNotOfWhatHasMovedThere) {
  Moved(kA, kY);
  Unmapped(kA);
  space_.mapped = {{At(kY), At(kY + kPages)}};
  Unmapped(kY);
  ExpectAt(a_, 5, kY + 5);
  space_.mapped = {};
  Unmapped(kY);
  ExpectNobodyAt(kY);
  EXPECT_EQ(KindOf(a_, 5), PageWord::Kind::kHole);
}

TEST_F(NobodysTest, OfWhatHasMovedThereAPartIsUnmapped) {
  Moved(kA, kY);
  space_.mapped = {{At(kY + 100), At(kY + kPages)}};
  Unmapped(kY);
  ExpectNobodyAt(kY + 99);
  ExpectAt(a_, 100, kY + 100);
  EXPECT_EQ(KindOf(a_, 99), PageWord::Kind::kHole);
}

TEST_F(NobodysTest, WhatHasMovedOnWasNotUnmapped) {
  a_->map().Set(5, 0, PageWord(PageWord::Kind::kPoisoned, 0));
  Moved(kA, kY);
  Queue(Kind::kUnmap, kY, kPages);  // Late.
  Queue(Kind::kRemap, kY, kPages, At(kW));
  changes_.Apply();
  ExpectAt(a_, 5, kW + 5);
  EXPECT_EQ(KindOf(a_, 5), PageWord::Kind::kPoisoned);
}

TEST_F(NobodysTest, WhatIsMovedToNextIsUnmappedBefore) {
  Moved(kA, kY);
  space_.mapped = {{At(kY), At(kY + kPages)}};  // By what is there next.
  Queue(Kind::kUnmap, kY, kPages);
  Queue(Kind::kRemap, kB, kPages, At(kY));
  changes_.Apply();
  ExpectAt(b_, 5, kY + 5);
  EXPECT_EQ(KindOf(a_, 5), PageWord::Kind::kHole);
  EXPECT_EQ(KindOf(b_, 5), PageWord::Kind::kNone);
}

TEST_F(NobodysTest, WhatTheKernelDoesNotSayIsLost) {
  Moved(kA, kY);
  space_.knows = false;
  Unmapped(kY);
  EXPECT_EQ(KindOf(a_, 5), PageWord::Kind::kPoisoned);
  EXPECT_EQ(space_.applied, space_.told);
}

TEST_F(NobodysTest, TheKernelIsNotAskedOnceAllIsRead) {
  Unmapped(kB);
  Moved(kA, kY);
  space_.all_read = true;
  Unmapped(kA);  // And with it all is.
  Unmapped(kY);
  ExpectNobodyAt(kY);
  EXPECT_EQ(space_.asked, 0);
}

TEST_F(NobodysTest, WhatIsUnmappedAndMovedToInPartsIsKnown) {
  Moved(kA, kY);
  space_.mapped = {{At(kY), At(kY + 200)}};
  Queue(Kind::kUnmap, kY, kPages);
  Queue(Kind::kRemap, kB, 100, At(kY));
  Queue(Kind::kRemap, kY + 800, 100, At(kW));
  changes_.Apply();
  ExpectAt(b_, 5, kY + 5);
  ExpectAt(a_, 150, kY + 150);
  ExpectAt(a_, 850, kW + 50);
  ExpectNobodyAt(kY + 250);
  EXPECT_EQ(shared_.counters.pages_lost.Get(), 0u);
}

TEST_F(NobodysTest, OfWhatIsMovedToAndOnNothingIsKnown) {
  Moved(kA, kY);
  Queue(Kind::kUnmap, kY, kPages);
  Queue(Kind::kRemap, kB, 100, At(kY));
  Queue(Kind::kRemap, kY, 100, At(kW));
  changes_.Apply();
  EXPECT_EQ(KindOf(a_, 5), PageWord::Kind::kPoisoned);
}

TEST_F(NobodysTest, AChangeThatIsNotQueuedIsWaitedFor) {
  Moved(kA, kY);
  ++space_.told;
  Unmapped(kY);
  EXPECT_EQ(KindOf(a_, 5), PageWord::Kind::kPoisoned);
}

TEST_F(NobodysTest, WhatIsNobodysNoMoreIsBelieved) {
  changes_.RemoveNobodys(At(kY), At(kY + kPages));
  Moved(kA, kY);
  Unmapped(kY);
  ExpectNobodyAt(kY);
  EXPECT_EQ(space_.asked, 0);
}

TEST_F(NobodysTest, WhatWasUnmappedIsNobodysNoMore) {
  Unmapped(kY);
  Moved(kA, kY);
  Unmapped(kY);
  ExpectNobodyAt(kY);
  EXPECT_EQ(space_.asked, 0);
}

// What it has grown goes with it, and is not known to be nobody's.
TEST_F(MapOrderTest, WhatMremapHasGrownIsAskedForWithWhatItWas) {
  Moved(kA, kY, 512);
  Moved(kB, kW);
  Moved(kW, kY + 512);
  space_.mapped = {{At(kY + 512), At(kY + 512 + kPages)}};
  Unmapped(kY, 512 + kPages);
  ExpectNobodyAt(kY);
  ExpectAt(b_, 5, kY + 512 + 5);
}

TEST_F(MapOrderTest, PartsAndBack) {
  Moved(kA + 100, kY + 3, 600);
  Unmapped(kA + 100, 600);
  ExpectAt(a_, 99, kA + 99);
  ExpectAt(a_, 100, kY + 3);
  ExpectAt(a_, 699, kY + 602);
  ExpectAt(a_, 700, kA + 700);
  EXPECT_EQ(a_->RunAt(90, 512), 10u);
  EXPECT_EQ(a_->RunAt(100, 512), 512u);
  EXPECT_FALSE(a_->IsWhole(0, kPmdOrder));
  EXPECT_TRUE(a_->IsWhole(128, kPartOrder));
  Moved(kY + 3, kA + 100, 600);
  Unmapped(kY + 3, 600);
  EXPECT_EQ(a_->RunAt(0, kPages), kPages);
  EXPECT_TRUE(a_->IsWhole(0, kPmdOrder));
}

}  // namespace
}  // namespace farswap::pager

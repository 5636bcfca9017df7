#include "client/core/folio.h"

#include <set>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace farswap::core {
namespace {

TEST(FolioArena, AFreshFolioHasOneReferenceAndWhatItWasGiven) {
  FolioArena folios;
  int owner = 0;
  Folio* folio = folios.Allocate(4, nullptr, &owner, 48);
  ASSERT_NE(folio, nullptr);
  EXPECT_EQ(folio->order, 4);
  EXPECT_EQ(folio->owner, &owner);
  EXPECT_EQ(folio->index, 48u);
  EXPECT_EQ(folio->refs.load(), 1u);
  EXPECT_EQ(folios.At(folio->id), folio);
  EXPECT_EQ(folios.in_use(), 1u);
  folios.Put(folio);
  EXPECT_EQ(folios.in_use(), 0u);
}

TEST(FolioArena, NothingOfTheLastLifeIsLeft) {
  FolioArena folios;
  Folio* folio = folios.Allocate(0, nullptr, nullptr, 7);
  folio->mapped = folio->reading = folio->writeback = folio->stored = true;
  folio->workingset = true;
  folio->hash = 5;
  folio->entry = SwapEntry(3, 4);
  char staging = 0;
  folio->staging = &staging;
  const FolioId id = folio->id;
  folios.Put(folio);
  Folio* again = folios.Allocate(1, nullptr, nullptr, 8);
  ASSERT_EQ(again->id, id);  // The memory is reused, so this tests something.
  EXPECT_FALSE(again->mapped || again->reading || again->writeback);
  EXPECT_FALSE(again->stored || again->workingset || again->has_swap);
  EXPECT_EQ(again->hash, 0u);
  EXPECT_EQ(again->entry, SwapEntry());
  EXPECT_EQ(again->staging, nullptr);
  folios.Put(again);
}

TEST(FolioArena, AFreedFolioCannotBeHad) {
  FolioArena folios;
  Folio* folio = folios.Allocate(0, nullptr, nullptr, 0);
  EXPECT_TRUE(FolioArena::TryGet(folio));
  folios.Put(folio);
  folios.Put(folio);
  EXPECT_FALSE(FolioArena::TryGet(folio));
}

TEST(FolioArena, GrowsOverManySegments) {
  FolioArena folios;
  std::set<FolioId> ids;
  std::vector<Folio*> all;
  for (int i = 0; i < 5000; ++i) {
    all.push_back(folios.Allocate(0, nullptr, nullptr, i));
    ids.insert(all.back()->id);
  }
  EXPECT_EQ(ids.size(), 5000u);
  EXPECT_EQ(ids.count(kNoFolio), 0u);
  for (int i = 0; i < 5000; ++i) {
    EXPECT_EQ(folios.At(all[i]->id), all[i]);
    EXPECT_EQ(all[i]->index, static_cast<uint64_t>(i));
    folios.Put(all[i]);
  }
  EXPECT_EQ(folios.in_use(), 0u);
}

// A stale id reads a folio; a reference got through it is to a living one.
TEST(FolioArena, ThreadsTryToGetWhatOthersFree) {
  FolioArena folios;
  const FolioId id = [&] {
    Folio* folio = folios.Allocate(0, nullptr, nullptr, 0);
    folios.Put(folio);
    return folio->id;
  }();
  std::atomic<uint64_t> got{0};
  std::atomic<bool> stop{false};
  std::thread reader([&] {
    while (!stop.load()) {
      Folio* folio = folios.At(id);
      if (!FolioArena::TryGet(folio)) continue;
      // Never half of one life and half of another.
      if (folio->index == uint64_t{folio->order} + 100) ++got;
      folios.Put(folio);
    }
  });
  // The folio that the reader looks at: while he has it others are given, which
  // are kept out of the way, as what was freed last is given first.
  std::vector<Folio*> others;
  const auto allocate = [&](int order, uint64_t index) {
    for (;;) {
      Folio* folio = folios.Allocate(order, nullptr, nullptr, index);
      if (folio->id == id) return folio;
      others.push_back(folio);
      std::this_thread::yield();
    }
  };
  // Ends when the reader has won often enough, or at a bound far above.
  for (int i = 0; got.load() < 100 && i < 100'000; ++i) {
    folios.Put(allocate(0, 0));
    Folio* folio = allocate(i % kOrders, i % kOrders + 100);
    // Lets the reader in while it lives, however slow a sanitizer makes it.
    const uint64_t before = got.load();
    for (int y = 0; y < 1000 && got.load() == before; ++y) {
      std::this_thread::yield();
    }
    folios.Put(folio);
  }
  stop = true;
  reader.join();
  for (Folio* folio : others) folios.Put(folio);
  EXPECT_GE(got.load(), 100u);
  EXPECT_EQ(folios.in_use(), 0u);
}

TEST(FolioArenaDeathTest, OneReferenceTooManyGivenBack) {
  FolioArena folios;
  Folio* folio = folios.Allocate(0, nullptr, nullptr, 0);
  folios.Put(folio);
  EXPECT_DEATH(folios.Put(folio), "check failed");
}

}  // namespace
}  // namespace farswap::core

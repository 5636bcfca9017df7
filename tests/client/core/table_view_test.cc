// On tables made by hand. Beside each test stands what was broken once to see
// it fail.
#include "client/core/table_view.h"

#include <optional>

#include "client/core/folio.h"
#include "client/core/swap_table.h"
#include "common/units.h"
#include "gtest/gtest.h"

namespace farswap::core {
namespace {

class TableViewTest : public testing::Test {
 protected:
  void Set(uint32_t slot, SwapWord word) { table_.words[slot] = word.raw(); }

  // Nothing: contested.
  template <typename Looked>
  std::optional<Folio*> Get(const TableView& view, uint32_t slot,
                            Looked looked) {
    bool contested = false;
    Folio* folio = view.GetAttached(slot, &folios_, &contested, looked);
    if (!contested) return folio;
    EXPECT_EQ(folio, nullptr);
    return std::nullopt;
  }
  std::optional<Folio*> Get(const TableView& view, uint32_t slot) {
    return Get(view, slot, [] {});
  }

  SwapTable table_;
  TableView view_{&table_};
  FolioArena folios_;
};

// Broken by: GetAttached with Get in place of TryGet (dies); giving up with
// null in place of nothing (the caller would not look under the lock).
TEST_F(TableViewTest, AFolioThatHasGoneIsNotHadThoughAStaleWordNamesIt) {
  Folio* folio = folios_.Allocate(0, nullptr, nullptr, 0);
  Set(5, SwapWord::Attached(folio->id));
  EXPECT_EQ(Get(view_, 5), folio);
  EXPECT_EQ(folio->refs.load(), 2u);
  folios_.Put(folio);
  folios_.Put(folio);
  EXPECT_EQ(Get(view_, 5), std::nullopt);
  EXPECT_EQ(folio->refs.load(), 0u);
}

// Broken by: GetAttached without is_cached (an age is taken for an id).
TEST_F(TableViewTest, WhatIsNotCachedHasNoFolio) {
  Folio* folio = folios_.Allocate(0, nullptr, nullptr, 0);
  EXPECT_EQ(Get(view_, 5), nullptr);
  Set(5, SwapWord::Attached(1).WithCount(1).ToShadow(folio->id));
  EXPECT_EQ(Get(view_, 5), nullptr);
  EXPECT_EQ(Get(TableView(nullptr), 5), nullptr);
  EXPECT_EQ(folio->refs.load(), 1u);
  folios_.Put(folio);
}

// Between the look and the try its folio is detached and freed, and its id is
// that of one that is attached to nothing. Broken by: GetAttached without its
// second look.
TEST_F(TableViewTest, WhatIsFoundWasAttachedAfterTheReferenceWasGot) {
  Folio* folio = folios_.Allocate(0, nullptr, nullptr, 1);
  const FolioId id = folio->id;
  Set(5, SwapWord::Attached(id));
  Folio* elsewhere = nullptr;
  const auto found = Get(view_, 5, [&] {
    Set(5, SwapWord::Attached(id).WithCount(1).ToShadow(0));
    folios_.Put(folio);
    elsewhere = folios_.Allocate(0, nullptr, nullptr, 2);
  });
  ASSERT_EQ(elsewhere->id, id);  // So this tests something.
  EXPECT_EQ(found, nullptr);
  EXPECT_EQ(elsewhere->refs.load(), 1u);
  // Counts and sums may change meanwhile: it is attached all the same.
  Set(6, SwapWord::Attached(id));
  EXPECT_EQ(
      Get(view_, 6,
          [&] { Set(6, SwapWord::Attached(id).WithCount(3).WithSum(7)); }),
      elsewhere);
  folios_.Put(elsewhere);
  folios_.Put(elsewhere);
}

// Broken by: a loop without a bound (the test does not end); giving up with
// null.
TEST_F(TableViewTest, WhoLosesEachRaceIsToldSo) {
  Folio* folios[2] = {folios_.Allocate(0, nullptr, nullptr, 0),
                      folios_.Allocate(0, nullptr, nullptr, 1)};
  Set(5, SwapWord::Attached(folios[0]->id));
  int races = 0;
  const auto found = Get(
      view_, 5, [&] { Set(5, SwapWord::Attached(folios[++races % 2]->id)); });
  EXPECT_EQ(found, std::nullopt);
  EXPECT_EQ(races, TableView::kGetTries);
  for (Folio* folio : folios) {
    EXPECT_EQ(folio->refs.load(), 1u);
    folios_.Put(folio);
  }
}

// Broken by: PartOf without its bounds.
TEST_F(TableViewTest, NoWordsLeadOutOfTheTable) {
  for (uint32_t slot = 0; slot < kSlotsPerCluster; ++slot) {
    Set(slot, SwapWord::Attached(1).WithTail());
  }
  const SwapPart part = view_.PartOf(300);
  EXPECT_EQ(part.head, 0u);
  EXPECT_EQ(part.pages, kSlotsPerCluster);
  // The word after the table is not looked at.
  EXPECT_EQ(TableView(nullptr).PartOf(511).pages, 1u);
}

}  // namespace
}  // namespace farswap::core

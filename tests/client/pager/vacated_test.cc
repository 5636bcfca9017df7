#include "client/pager/vacated.h"

#include <vector>

#include "common/units.h"
#include "gtest/gtest.h"

namespace farswap::pager {
namespace {

using Ranges = std::vector<AddressRange>;

// Addresses by page number; nothing is there.
char* At(uint64_t page) { return reinterpret_cast<char*>(page * kPageBytes); }

TEST(VacatedTest, AnUnmappingIsPassedOverOncePerMove) {
  Vacated vacated;
  vacated.Add(At(10), At(20));
  vacated.Add(At(15), At(25));
  EXPECT_EQ(vacated.Take(At(5), At(30)),
            (Ranges{{At(5), At(10)}, {At(25), At(30)}}));
  EXPECT_EQ(vacated.Take(At(10), At(25)),
            (Ranges{{At(10), At(15)}, {At(20), At(25)}}));
  EXPECT_TRUE(vacated.empty());
}

TEST(VacatedTest, WhatAMoveLeftIsUnmappedOnce) {
  Vacated vacated;
  vacated.Add(At(10), At(20));
  vacated.AddLeft(At(10), At(30));
  EXPECT_TRUE(vacated.Take(At(10), At(30)).empty());
  EXPECT_TRUE(vacated.empty());
}

TEST(VacatedTest, InParts) {
  Vacated vacated;
  vacated.Add(At(10), At(20));
  EXPECT_TRUE(vacated.Take(At(12), At(14)).empty());
  EXPECT_EQ(vacated.Take(At(10), At(20)), (Ranges{{At(12), At(14)}}));
  EXPECT_TRUE(vacated.empty());
}

TEST(VacatedTest, WhereNoneIsToCome) {
  Vacated vacated;
  vacated.Add(At(10), At(20));
  vacated.Add(At(30), At(40));
  EXPECT_EQ(vacated.Settled(At(5), At(50)),
            (Ranges{{At(5), At(10)}, {At(20), At(30)}, {At(40), At(50)}}));
  EXPECT_EQ(vacated.Settled(At(15), At(35)), (Ranges{{At(20), At(30)}}));
  EXPECT_TRUE(vacated.Settled(At(12), At(18)).empty());
  EXPECT_EQ(vacated.Settled(At(20), At(25)), (Ranges{{At(20), At(25)}}));
}

}  // namespace
}  // namespace farswap::pager

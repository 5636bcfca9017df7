#include "server/incarnation.h"

#include <gtest/gtest.h>

#include <functional>

namespace farswap::server {
namespace {

PoolFacts GoodPool() {
  PoolFacts pool;
  pool.server_id = "me";
  pool.incarnation = 5;
  pool.intended = 10;
  pool.committed = 10;
  pool.same_boot = true;
  pool.recorded_clusters = 100;
  pool.file_clusters = 100;
  pool.backed_clusters = 3;
  return pool;
}

const Identity kIdentity{"me", 5, 10, 1};

TEST(IncarnationTest, ContinuesWhatMatches) {
  EXPECT_EQ(WhyNewIncarnation(GoodPool(), kIdentity, 3), "");
}

TEST(IncarnationTest, ContinuesAfterAKillInsideAChange) {
  PoolFacts pool = GoodPool();
  // Before the write, or after a write that was not kept.
  pool.intended = 11;
  EXPECT_EQ(WhyNewIncarnation(pool, kIdentity, 3), "");
  // After the write, before it was marked.
  pool.intended = 10;
  pool.committed = 9;
  EXPECT_EQ(WhyNewIncarnation(pool, kIdentity, 3), "");
}

TEST(IncarnationTest, ADiskFileSurvivesTheProcessButTheMachineOnlyIfClean) {
  PoolFacts pool = GoodPool();
  pool.on_disk = true;
  EXPECT_EQ(WhyNewIncarnation(pool, kIdentity, 3), "");
  pool.same_boot = false;
  EXPECT_NE(WhyNewIncarnation(pool, kIdentity, 3), "");
  pool.clean = true;
  EXPECT_EQ(WhyNewIncarnation(pool, kIdentity, 3), "");
}

TEST(IncarnationTest, BeginsAnewInEveryOtherCase) {
  struct Case {
    const char* why;
    std::function<void(PoolFacts*, Identity*)> spoil;
  };
  const Case cases[] = {
      {"new file", [](auto* p, auto*) { p->no_header = "new file"; }},
      {"data directory is new", [](auto*, auto* i) { i->incarnation = 0; }},
      {"being emptied", [](auto* p, auto*) { p->incarnation = 0; }},
      {"another server", [](auto* p, auto*) { p->server_id = "you"; }},
      {"another incarnation", [](auto* p, auto*) { p->incarnation = 4; }},
      {"metadata is older", [](auto*, auto* i) { i->sequence = 9; }},
      {"file is older", [](auto*, auto* i) { i->sequence = 11; }},
      {"truncated", [](auto* p, auto*) { p->file_clusters = 99; }},
      {"missing", [](auto* p, auto*) { p->backed_clusters = 2; }},
  };
  for (const Case& c : cases) {
    PoolFacts pool = GoodPool();
    Identity identity = kIdentity;
    c.spoil(&pool, &identity);
    EXPECT_NE(WhyNewIncarnation(pool, identity, 3).find(c.why),
              std::string::npos)
        << c.why << ": " << WhyNewIncarnation(pool, identity, 3);
  }
}

}  // namespace
}  // namespace farswap::server

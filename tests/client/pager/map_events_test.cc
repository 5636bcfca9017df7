#include "client/pager/map_events.h"

#include <atomic>
#include <thread>
#include <vector>

#include "common/units.h"
#include "gtest/gtest.h"

namespace farswap::pager {
namespace {

// Addresses by page number; nothing is there.
char* At(uint64_t page) { return reinterpret_cast<char*>(page * kPageBytes); }

MapEvent Removed(uint64_t first, uint64_t end) {
  return {MapEvent::Kind::kRemove, At(first), At(end), nullptr};
}

std::vector<MapEvent> Read(MapEvents* events, const MapEvent& event) {
  std::vector<MapEvent> to_apply;
  events->Close();
  events->Read(event, &to_apply);
  events->Open();
  return to_apply;
}

TEST(MapEventsTest, ARangeIsRefusedUntilItIsApplied) {
  MapEvents events;
  const MapEvent event = Removed(10, 20);
  ASSERT_EQ(Read(&events, event), std::vector<MapEvent>{event});
  EXPECT_TRUE(MapEvents::Operation(&events, At(19), kPageBytes).refused());
  EXPECT_FALSE(MapEvents::Operation(&events, At(20), kPageBytes).refused());
  EXPECT_FALSE(MapEvents::Operation(&events, At(9), kPageBytes).refused());
  events.Applied(event);
  EXPECT_FALSE(MapEvents::Operation(&events, At(19), kPageBytes).refused());
}

TEST(MapEventsTest, BothEndsOfAMoveAreRefused) {
  MapEvents events;
  const MapEvent event{MapEvent::Kind::kRemap, At(10), At(20), At(100)};
  Read(&events, event);
  EXPECT_TRUE(events.IsChanging(At(10), kPageBytes));
  EXPECT_TRUE(events.IsChanging(At(109), kPageBytes));
  EXPECT_FALSE(events.IsChanging(At(110), kPageBytes));
  events.Applied(event);
  EXPECT_FALSE(events.any());
}

TEST(MapEventsTest, TwoAlikeAreAppliedOneByOne) {
  MapEvents events;
  Read(&events, Removed(1, 2));
  Read(&events, Removed(1, 2));
  events.Applied(Removed(1, 2));
  EXPECT_TRUE(events.IsChanging(At(1), kPageBytes));
  events.Applied(Removed(1, 2));
  EXPECT_FALSE(events.IsChanging(At(1), kPageBytes));
}

TEST(MapEventsTest, WhatOurZapRaisesIsNoChange) {
  MapEvents events;
  const MapEvents::OwnZap zap(&events, At(512), kPmdBytes);
  // In one, or mapping by mapping.
  EXPECT_TRUE(Read(&events, Removed(512, 600)).empty());
  EXPECT_TRUE(Read(&events, Removed(600, 1024)).empty());
  EXPECT_FALSE(events.any());
}

TEST(MapEventsTest, WhatIsSeenTwiceTheProgramDiscardedToo) {
  MapEvents events;
  const MapEvents::OwnZap zap(&events, At(512), kPmdBytes);
  // Whichever came first was ours, or not: what counts is the second.
  EXPECT_TRUE(Read(&events, Removed(520, 530)).empty());
  EXPECT_EQ(Read(&events, Removed(512, 1024)),
            std::vector<MapEvent>{Removed(520, 530)});
}

TEST(MapEventsTest, WhatReachesBeyondOurZapIsTheProgramsThere) {
  MapEvents events;
  const MapEvents::OwnZap zap(&events, At(512), kPmdBytes);
  const std::vector<MapEvent> expected = {Removed(500, 512),
                                          Removed(1024, 1030)};
  EXPECT_EQ(Read(&events, Removed(500, 1030)), expected);
}

TEST(MapEventsTest, WhatWeUnmapIsNoChange) {
  MapEvents events;
  const MapEvent first{MapEvent::Kind::kUnmap, At(512), At(600), nullptr};
  const MapEvent rest{MapEvent::Kind::kUnmap, At(600), At(1024), nullptr};
  {
    const MapEvents::OwnUnmap unmap(&events, At(512), kPmdBytes);
    EXPECT_TRUE(Read(&events, first).empty());
    EXPECT_TRUE(Read(&events, rest).empty());
    // Of what is there since.
    EXPECT_EQ(Read(&events, first), std::vector<MapEvent>{first});
  }
  EXPECT_EQ(Read(&events, rest), std::vector<MapEvent>{rest});
}

TEST(MapEventsTest, NoOperationRunsWhileAnEventIsRead) {
  MapEvents events;
  std::atomic<bool> reading{false};
  std::atomic<int> overlaps{0};
  std::atomic<int> operations{0};
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] {
      while (!stop) {
        const MapEvents::Operation operation(&events, At(1), kPageBytes);
        ++operations;
        for (int spin = 0; spin < 50; ++spin) overlaps += reading.load();
      }
    });
  }
  for (int i = 0; i < 2000 || operations < 1000; ++i) {
    events.Close();
    reading = true;
    for (int spin = 0; spin < 50; ++spin)
      std::atomic_signal_fence(std::memory_order_seq_cst);
    reading = false;
    events.Open();
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(overlaps, 0);
}

MapEvent Forked(int child) {
  return {MapEvent::Kind::kFork, nullptr, nullptr, nullptr, child};
}

// Broken by: exceptions that are kept when a further fork is read.
TEST(MapEventsTest, WhatOneForkIsGivenTheNextLacks) {
  MapEvents events;
  std::vector<int> given;
  const auto give = [&](int child) {
    given.push_back(child);
    return true;
  };
  EXPECT_FALSE(events.Except(At(5), kPageBytes, give));
  Read(&events, Forked(7));
  EXPECT_TRUE(events.IsRefused(At(5), kPageBytes));
  EXPECT_TRUE(events.Except(At(5), kPageBytes, give));
  EXPECT_FALSE(events.IsRefused(At(5), kPageBytes));
  EXPECT_TRUE(events.IsRefused(At(6), kPageBytes));
  Read(&events, Forked(8));
  EXPECT_TRUE(events.IsRefused(At(5), kPageBytes));
  EXPECT_TRUE(events.Except(At(5), kPageBytes, give));
  EXPECT_EQ(given, (std::vector<int>{7, 7, 8}));
  events.Applied(Forked(7));
  events.Applied(Forked(8));
  EXPECT_FALSE(events.IsRefused(At(6), kPageBytes));
}

// Broken by: Lack, or what a failed `give` is noted by, left out.
TEST(MapEventsTest, WhatAForkDidNotGetIsLacked) {
  MapEvents events;
  events.SetNotInherited(At(100), 2 * kPageBytes);
  events.Lack(At(5), kPageBytes);  // Nobody forks.
  Read(&events, Forked(7));
  EXPECT_FALSE(events.IsRefused(At(101), kPageBytes));
  events.Lack(At(100), kPageBytes);
  events.Lack(At(5), 2 * kPageBytes);
  EXPECT_TRUE(events.Except(At(9), kPageBytes, [](int) { return false; }));
  events.Applied(Forked(7));
  EXPECT_EQ(events.TakeLacked(7), (std::vector<char*>{At(5), At(6), At(9)}));
  EXPECT_TRUE(events.TakeLacked(7).empty());
}

// Else the program would hang in its next change of the map.
TEST(MapEventsDeathTest, AnOperationThatDoesNotEndIsNamed) {
  MapEvents events(/*patience=*/3);
  Read(&events, Removed(10, 20));
  const MapEvents::Operation stuck(&events, At(1), kPageBytes);
  EXPECT_DEATH(events.Close(), "1 under way, sleeper 0, 1 changes untold");
}

}  // namespace
}  // namespace farswap::pager

#include "client/launcher/process/memory_map.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <future>
#include <thread>
#include <vector>

namespace farswap::launcher {
namespace {

constexpr size_t kBytes = size_t{1} << 20;

bool Has(const std::vector<MapRange>& ranges, const void* at) {
  const auto address = reinterpret_cast<uint64_t>(at);
  return std::any_of(ranges.begin(), ranges.end(), [&](const MapRange& range) {
    return range.Holds(address);
  });
}

// A mapping with shared memory on both sides, so that it stays by itself.
char* Map(int flags, size_t bytes = kBytes) {
  auto* const at = static_cast<char*>(
      mmap(nullptr, 3 * kBytes, PROT_NONE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  return static_cast<char*>(mmap(at + kBytes, bytes, PROT_READ | PROT_WRITE,
                                 flags | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
}

void Unmap(char* at) { munmap(at - kBytes, 3 * kBytes); }

TEST(AnonymousRangesTest, PrivateAnonymousMemory) {
  const auto ranges = AnonymousRanges(
      "10000-20000 rw-p 00000000 00:00 0 \n"
      "20000-40000 ---p 00000000 00:00 0 \n"
      "50000-51000 rw-p 00000000 00:00 0                          [heap]\n"
      "60000-80000 rw-p 00000000 00:00 0                  [anon: arena]\n"
      // A file's; shared; the kernel's own.
      "a0000-c0000 rw-p 00000000 fe:01 17                  /usr/bin/name\n"
      "d0000-f0000 rw-s 00000000 00:00 0 \n"
      "100000-120000 rw-p 00000000 00:00 0                 [stack]\n");
  EXPECT_EQ(ranges, (std::vector<MapRange>{{0x10000, 0x20000},
                                           {0x20000, 0x40000, true},
                                           {0x50000, 0x51000},
                                           {0x60000, 0x80000}}));
}

TEST(AnonymousRangesTest, WhatIsNoMapHasNone) {
  EXPECT_TRUE(AnonymousRanges("").empty());
  EXPECT_TRUE(AnonymousRanges("\n\nnothing of the kind\n-\n").empty());
}

TEST(MemoryMapTest, OwnMemoryAndSharedMemoryAreNotFar) {
  char* const far = Map(MAP_PRIVATE);
  char* const shared = Map(MAP_SHARED);
  char* const own = Map(MAP_PRIVATE);
  const auto at = reinterpret_cast<uint64_t>(own);
  MemoryMap map(getpid(), {at, at + kBytes});
  ASSERT_TRUE(map.Refresh());
  EXPECT_TRUE(Has(map.far(), far));
  EXPECT_FALSE(Has(map.far(), shared));
  EXPECT_FALSE(Has(map.far(), own));
  for (char* const memory : {far, shared, own}) Unmap(memory);
}

// To the program it is one mapping.
TEST(MemoryMapTest, SmallPartsOfALargeMappingAreFar) {
  char* const at = Map(MAP_PRIVATE);
  ASSERT_EQ(mprotect(at + kBytes / 2, 4096, PROT_READ), 0);
  MemoryMap map(getpid(), {0, 0});
  ASSERT_TRUE(map.Refresh());
  EXPECT_TRUE(Has(map.far(), at));
  EXPECT_TRUE(Has(map.far(), at + kBytes / 2));
  EXPECT_TRUE(Has(map.far(), at + kBytes - 1));
  Unmap(at);
}

TEST(MemoryMapTest, SmallMappingsAreLeftAlone) {
  char* const small = Map(MAP_PRIVATE, 8192);
  MemoryMap map(getpid(), {0, 0});
  ASSERT_TRUE(map.Refresh());
  EXPECT_FALSE(Has(map.far(), small));
  Unmap(small);
}

TEST(MemoryMapTest, WhatHoldsAThreadIsNotFarUntilItIsUnmapped) {
  char* const stack = Map(MAP_PRIVATE);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  ASSERT_EQ(pthread_attr_setstack(&attributes, stack, kBytes), 0);
  struct Run {
    std::promise<void> started;
    std::promise<void> end;
  } run;
  pthread_t thread;
  const auto body = [](void* argument) -> void* {
    auto* const run = static_cast<Run*>(argument);
    run->started.set_value();
    run->end.get_future().wait();
    return nullptr;
  };
  MemoryMap map(getpid(), {0, 0});
  ASSERT_EQ(pthread_create(&thread, &attributes, body, &run), 0);
  run.started.get_future().wait();
  ASSERT_TRUE(map.Refresh());
  EXPECT_TRUE(Has(map.threads(), stack));
  EXPECT_FALSE(Has(map.far(), stack));
  run.end.set_value();
  pthread_join(thread, nullptr);
  // The next thread may have the same stack.
  ASSERT_TRUE(map.Refresh());
  EXPECT_TRUE(Has(map.threads(), stack));
  munmap(stack, kBytes);
  ASSERT_TRUE(map.Refresh());
  EXPECT_FALSE(Has(map.threads(), stack));
}

// As pthread_create does it.
TEST(MemoryMapTest, WhatMayBecomeAStackIsSparedWhileItIsNew) {
  MemoryMap map(getpid(), {});
  char* const stack = Map(MAP_PRIVATE);
  ASSERT_EQ(mprotect(stack, kBytes, PROT_NONE), 0);
  ASSERT_TRUE(map.Refresh());
  EXPECT_TRUE(Has(map.spared(), stack + kBytes - 1));
  ASSERT_EQ(mprotect(stack + 4096, kBytes - 4096, PROT_READ | PROT_WRITE), 0);
  ASSERT_TRUE(map.Refresh());
  EXPECT_TRUE(Has(map.spared(), stack + kBytes - 1));
  EXPECT_TRUE(Has(map.far(), stack + kBytes - 1));
  std::this_thread::sleep_for(MemoryMap::kNewFor);
  ASSERT_TRUE(map.Refresh());
  EXPECT_FALSE(Has(map.spared(), stack + kBytes - 1));
  Unmap(stack);
}

TEST(MemoryMapTest, WhatIsNoStackIsNotSpared) {
  MemoryMap map(getpid(), {});
  char* const memory = Map(MAP_PRIVATE);
  ASSERT_TRUE(map.Refresh());
  EXPECT_TRUE(Has(map.far(), memory));
  EXPECT_FALSE(Has(map.spared(), memory));
  Unmap(memory);
}

TEST(MemoryMapTest, OfAProcessThatHasGoneNothingIsKnown) {
  MemoryMap map(0, {0, 0});
  EXPECT_FALSE(map.Refresh());
  EXPECT_EQ(map.ResidentBytes(), 0U);
}

}  // namespace
}  // namespace farswap::launcher

#include "client/runtime/far_arena.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "common/units.h"

namespace farswap::runtime {
namespace {

// A 2 MiB aligned range of plain memory, of which mincore can tell what was
// touched.
class AlignedRange {
 public:
  explicit AlignedRange(size_t bytes) : bytes_(bytes) {
    raw_ = static_cast<char*>(
        mmap(nullptr, bytes + kPmdBytes, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    EXPECT_NE(raw_, MAP_FAILED);
    begin_ = reinterpret_cast<char*>(
        AlignUp(reinterpret_cast<uintptr_t>(raw_), kPmdBytes));
    EXPECT_EQ(madvise(begin_, bytes_, MADV_NOHUGEPAGE), 0);
  }
  ~AlignedRange() { munmap(raw_, bytes_ + kPmdBytes); }

  char* begin() const { return begin_; }
  size_t bytes() const { return bytes_; }
  bool Contains(const void* p, size_t size) const {
    const char* c = static_cast<const char*>(p);
    return c >= begin_ && c + size <= begin_ + bytes_;
  }
  size_t TouchedPages() const {
    std::vector<unsigned char> resident(bytes_ / kPageBytes);
    EXPECT_EQ(mincore(begin_, bytes_, resident.data()), 0);
    size_t pages = 0;
    for (unsigned char r : resident) pages += r & 1;
    return pages;
  }

 private:
  const size_t bytes_;
  char* raw_;
  char* begin_;
};

std::unique_ptr<FarArena> MakeArena(const AlignedRange& range) {
  auto arena = FarArena::Create(range.begin(), range.bytes());
  EXPECT_TRUE(arena.ok()) << arena.status();
  return std::move(*arena);
}

TEST(FarArenaTest, RefusesAMisalignedRange) {
  AlignedRange range(4 << 20);
  EXPECT_FALSE(FarArena::Create(range.begin() + kPageBytes, 1 << 20).ok());
  EXPECT_FALSE(FarArena::Create(nullptr, 1 << 20).ok());
}

TEST(FarArenaTest, AllocatingAndFreeingTouchNoPage) {
  AlignedRange range(64 << 20);
  auto arena = MakeArena(range);
  std::vector<std::pair<void*, size_t>> blocks;
  for (size_t size : {1, 16, 24, 100, 1000, 5000, 70000, 3000000}) {
    for (int i = 0; i < 10; ++i) {
      void* p = arena->Allocate(size);
      ASSERT_NE(p, nullptr);
      EXPECT_TRUE(range.Contains(p, size));
      blocks.emplace_back(p, size);
    }
  }
  for (auto [p, size] : blocks) arena->Free(p, size);
  EXPECT_EQ(range.TouchedPages(), 0u);
  EXPECT_GT(arena->carved_bytes(), 30000000u);
}

TEST(FarArenaTest, AFullRangeIsNull_AndWhatIsFreedIsUsedAgain) {
  AlignedRange range(16 << 20);
  auto arena = MakeArena(range);
  for (int round = 0; round < 3; ++round) {
    std::vector<void*> blocks;
    while (void* p = arena->Allocate(64 << 10)) {
      ASSERT_TRUE(range.Contains(p, 64 << 10));
      blocks.push_back(p);
    }
    // Of 256 blocks; the rest is what no whole extent fitted into.
    EXPECT_GT(blocks.size(), 200u);
    EXPECT_EQ(arena->Reallocate(blocks[0], 8 << 20), nullptr);
    for (void* p : blocks) arena->Free(p, 64 << 10);
  }
  EXPECT_LE(arena->carved_bytes(), range.bytes());
}

TEST(FarArenaTest, RandomUseKeepsEveryByte) {
  AlignedRange range(64 << 20);
  auto arena = MakeArena(range);
  struct Block {
    unsigned char* p;
    size_t size;
    unsigned char fill;
  };
  std::vector<Block> blocks;
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  auto check = [](const Block& b) {
    for (size_t i = 0; i < b.size; ++i) ASSERT_EQ(b.p[i], b.fill);
  };
  for (int i = 0; i < 20000; ++i) {
    const size_t size = 1 + random() % (i % 100 == 0 ? 300000 : 600);
    const unsigned char fill = static_cast<unsigned char>(random());
    if (blocks.size() < 1000) {
      auto* p = static_cast<unsigned char*>(arena->Allocate(size));
      ASSERT_NE(p, nullptr);
      std::memset(p, fill, size);
      blocks.push_back({p, size, fill});
      continue;
    }
    Block& b = blocks[random() % blocks.size()];
    ASSERT_NO_FATAL_FAILURE(check(b));
    if (random() % 2 == 0) {
      b.p = static_cast<unsigned char*>(arena->Reallocate(b.p, size));
      ASSERT_NE(b.p, nullptr);
      ASSERT_NO_FATAL_FAILURE(check({b.p, std::min(b.size, size), b.fill}));
      b.size = size;
      std::memset(b.p, b.fill = fill, size);
    } else {
      arena->Free(b.p, b.size);
      b = blocks.back();
      blocks.pop_back();
    }
  }
}

TEST(FarArenaTest, ArenasOneAfterAnotherUseTheirOwnRanges) {
  for (int i = 0; i < 5; ++i) {
    AlignedRange range(8 << 20);
    auto arena = MakeArena(range);
    void* p = arena->Allocate(100);
    ASSERT_NE(p, nullptr);
    EXPECT_TRUE(range.Contains(p, 100));
    // Left to the arena's end.
  }
}

TEST(FarArenaTest, ThreadsShareAnArena) {
  AlignedRange range(64 << 20);
  auto arena = MakeArena(range);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&arena, t] {
      for (int i = 0; i < 5000; ++i) {
        const size_t size = 1 + (i * 37 + t) % 9000;
        auto* p = static_cast<char*>(arena->Allocate(size));
        ASSERT_NE(p, nullptr);
        std::memset(p, t, size);
        ASSERT_EQ(p[size - 1], t);
        arena->Free(p, size);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace farswap::runtime

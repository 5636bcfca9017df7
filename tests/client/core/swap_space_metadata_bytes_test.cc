// What the swap space costs: told by itself, and counted beside it.
#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "client/core/swap_space.h"
#include "common/units.h"
#include "gtest/gtest.h"
#include "tests/client/core/swap_kit.h"

namespace {

std::atomic<size_t> allocated{0};  // As asked for from malloc.

void* CountedNew(size_t size, size_t align) {
  void* p = std::aligned_alloc(align, (size + align - 1) / align * align);
  if (p == nullptr) std::abort();
  allocated.fetch_add(malloc_usable_size(p), std::memory_order_relaxed);
  return p;
}

void CountedDelete(void* p) {
  if (p != nullptr) {
    allocated.fetch_sub(malloc_usable_size(p), std::memory_order_relaxed);
  }
  std::free(p);
}

}  // namespace

void* operator new(size_t size) { return CountedNew(size, 16); }
void* operator new[](size_t size) { return CountedNew(size, 16); }
void* operator new(size_t size, std::align_val_t align) {
  return CountedNew(size, static_cast<size_t>(align));
}
void operator delete(void* p) noexcept { CountedDelete(p); }
void operator delete[](void* p) noexcept { CountedDelete(p); }
void operator delete(void* p, size_t) noexcept { CountedDelete(p); }
void operator delete[](void* p, size_t) noexcept { CountedDelete(p); }
void operator delete(void* p, std::align_val_t) noexcept { CountedDelete(p); }
void operator delete(void* p, size_t, std::align_val_t) noexcept {
  CountedDelete(p);
}

namespace farswap::core {
namespace {

constexpr size_t kClusters = 2048;  // 4 GiB.
constexpr double kSlots = kClusters * kSlotsPerCluster;

// Allocated since, per slot.
double PerSlot(size_t before) {
  return static_cast<double>(allocated.load() - before) / kSlots;
}

TEST(MetadataBytes, FollowWhatIsInUse) {
  const size_t before = allocated.load();
  auto folios = std::make_unique<FolioArena>();
  auto space = std::make_unique<SwapSpace>(folios.get());
  // Nothing is sized by what could be granted.
  EXPECT_LE(space->MetadataBytes(), 8192u);
  EXPECT_LE(allocated.load() - before, 8192u);

  for (size_t i = 0; i < kClusters; ++i) space->AddCluster({i + 1, 1, 0});
  const size_t idle = space->MetadataBytes();
  EXPECT_LE(idle / kSlots, 0.2);

  // Full, of PMD folios or of pages alike.
  std::vector<SwapEntry> entries(kClusters);
  for (SwapEntry& entry : entries) {
    Folio* folio = folios->Allocate(kPmdOrder, nullptr, nullptr, 0);
    ASSERT_TRUE(space->FolioAllocSwap(folio));
    entry = folio->entry;
    space->FolioDupSwap(folio);
    space->SwapCacheDelFolio(folio, 0);
    folios->Put(folio);
  }
  EXPECT_EQ(space->used_slots(), kClusters * kSlotsPerCluster);
  const double told = space->MetadataBytes() / kSlots;
  EXPECT_LE(told, 8.2);
  // malloc rounds a table up to 4104 bytes; the arena and `entries` are in it.
  const double counted = PerSlot(before);
  EXPECT_LE(counted, 8.3);
  EXPECT_GE(counted, told);

  // Forked pages: an overflow table, while it is needed.
  const size_t full = space->MetadataBytes();
  for (int i = 0; i < 6; ++i) space->DupEntries(entries[0], 1);
  EXPECT_GT(space->MetadataBytes(), full);
  space->PutEntries(entries[0], 1);
  EXPECT_EQ(space->MetadataBytes(), full);
  for (int i = 0; i < 5; ++i) space->PutEntries(entries[0], 1);

  for (const SwapEntry entry : entries) {
    space->PutEntries(entry, kSlotsPerCluster);
  }
  EXPECT_EQ(space->MetadataBytes(), idle);
  space.reset();
  folios.reset();
  std::vector<SwapEntry>().swap(entries);
  EXPECT_EQ(allocated.load(), before);
  RecordProperty("bytes_per_slot", std::to_string(told));
  RecordProperty("malloc_bytes_per_slot", std::to_string(counted));
}

}  // namespace
}  // namespace farswap::core

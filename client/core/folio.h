// Folios that are in local memory, or on their way in or out, and the arena
// they live in.
//
// A folio is 2^order pages of one owner (a region) at a naturally aligned
// index. Folios are named by 25-bit ids, so that one fits into a swap table
// word. The arena is type-stable: the memory of a folio is reused for folios
// only, so a stale id reads a folio, never something else.
//
// References. A folio lives while its count is above zero. The page map holds
// one while the folio is mapped, the swap cache one while a table word points
// at it, whoever isolated it from an LRU one until it is put back, an I/O one
// until it is done.
#ifndef FARSWAP_CLIENT_CORE_FOLIO_H_
#define FARSWAP_CLIENT_CORE_FOLIO_H_

#include <atomic>
#include <cstdint>

#include "client/core/segmented_array.h"
#include "client/core/swap_entry.h"
#include "common/mutex.h"
#include "common/units.h"

namespace farswap::core {

class MemoryGroup;

// 1 .. 2^25 - 1; 0 is none.
using FolioId = uint32_t;
inline constexpr FolioId kNoFolio = 0;
inline constexpr int kFolioIdBits = 25;
inline constexpr FolioId kMaxFolioId = (FolioId{1} << kFolioIdBits) - 1;

enum class LruList : uint8_t {
  kNone,
  kInactive,
  kActive,
  kKept,
  kPinned,
  kIsolated
};

struct Folio {
  // Constant while the folio lives.
  FolioId id = kNoFolio;
  uint8_t order = 0;
  MemoryGroup* group = nullptr;  // That it is charged to.
  void* owner = nullptr;         // The region, to the pager.
  uint64_t index = 0;            // Its first page in the owner.

  // Guarded by the owner's lock for the index (the pager's block lock).
  bool mapped = false;      // The page map names it; charged and on an LRU.
  bool reading = false;     // A get is under way; nobody else maps it.
  bool writeback = false;   // A put is under way; its bytes are at `staging`.
  bool has_swap = false;    // `entry` is its place; the words there are Cached.
  bool stored = false;      // The slots hold bytes whose hash is `hash`.
  bool workingset = false;  // Was active before it was evicted.
  SwapEntry entry;
  uint64_t hash = 0;
  char* staging = nullptr;  // Where the bytes are while not mapped.

  // Guarded by the group's LRU lock.
  LruList lru = LruList::kNone;
  FolioId next = kNoFolio;
  FolioId prev = kNoFolio;

  std::atomic<uint32_t> refs{0};
};

// A folio per mapped PMD or part: 96 bytes are 0.19 for each page of a PMD
// folio, 6 for each of a 64 KiB one.
static_assert(sizeof(Folio) <= 96);

// Thread-safe. Grows by segments, never shrinks.
class FolioArena {
 public:
  FolioArena();
  ~FolioArena();
  FolioArena(const FolioArena&) = delete;
  FolioArena& operator=(const FolioArena&) = delete;

  // A fresh folio with one reference, or null when 2^25 - 1 are in use.
  Folio* Allocate(int order, MemoryGroup* group, void* owner, uint64_t index);

  // REQUIRES: `id` was returned by Allocate once. The folio may have been
  // freed or reused since: see TryGet.
  Folio* At(FolioId id) const;

  // Takes a reference unless the count is zero.
  static bool TryGet(Folio* folio);
  // REQUIRES: the caller holds a reference.
  static void Get(Folio* folio);
  // Gives a reference back; the last one frees the folio.
  void Put(Folio* folio);

  size_t in_use() const;

 private:
  // 256 folios a segment: 24 KiB.
  using Folios = SegmentedArray<Folio, 8>;

  // A folio off the free list, or one never used before, or null.
  Folio* Take() ABSL_LOCKS_EXCLUDED(mu_);
  void Free(Folio* folio) ABSL_LOCKS_EXCLUDED(mu_);

  Folios folios_;  // Grows under mu_.
  mutable Mutex mu_;
  FolioId free_ ABSL_GUARDED_BY(mu_) = kNoFolio;  // Linked by Folio::next.
  FolioId next_unused_ ABSL_GUARDED_BY(mu_) = 1;
  size_t in_use_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace farswap::core

#endif  // FARSWAP_CLIENT_CORE_FOLIO_H_

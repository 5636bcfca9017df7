// What SwapSpace promises, said as plainly as possible: a map of slots.
//
// It knows nothing of clusters' lists, words' bits or overflow tables. Where a
// folio is put is the real one's choice; that the place was free, aligned and
// in a granted cluster is checked.
#ifndef FARSWAP_TESTS_CLIENT_CORE_NAIVE_SWAP_SPACE_H_
#define FARSWAP_TESTS_CLIENT_CORE_NAIVE_SWAP_SPACE_H_

#include <cstdint>
#include <map>
#include <optional>
#include <set>

#include "client/core/folio.h"
#include "client/core/swap_entry.h"
#include "client/core/swap_space.h"

namespace farswap::core {

class NaiveSwapSpace {
 public:
  struct Slot {
    const Folio* folio = nullptr;  // Null: Shadow.
    uint32_t age = 0;
    uint32_t owners = 0;
    bool zero = false;
    uint32_t sum = 0;   // Of the part; at each of its slots here.
    uint64_t part = 0;  // First raw entry of the part.
    uint64_t part_pages = 1;
  };

  void Alloc(SwapEntry entry, const Folio* folio);
  void Dup(SwapEntry entry, uint32_t pages);
  void Put(SwapEntry entry, uint32_t pages);
  void PutOwned(const Folio* folio, SwapEntry entry);
  bool Free(const Folio* folio, SwapEntry entry);
  void Del(const Folio* folio, SwapEntry entry, uint32_t age);
  void SetSums(SwapEntry entry, int order, bool zero, uint32_t first_sum);

  // What SwapCacheAllocFolio must come to if alloc fails for the orders of
  // `failing`: the order, or an error, and the fallbacks.
  struct Expected {
    int order = -1;
    CacheError error = CacheError::kNoMem;
    CacheFallbacks fallbacks;
  };
  Expected Expect(SwapEntry entry, uint32_t orders, uint32_t failing) const;
  void Attach(SwapEntry entry, const Folio* folio);

  const Slot* Find(SwapEntry entry) const;
  size_t used() const { return slots_.size(); }
  // Some slot in use at or after that, round the end; none if none is.
  std::optional<SwapEntry> Near(SwapEntry entry) const;
  bool ClusterInUse(ClusterIndex cluster) const;
  bool IsFull(ClusterIndex cluster) const;

  // That the word says the same.
  void ExpectWord(SwapEntry entry, const SwapSpace& space) const;
  void ExpectAll(const SwapSpace& space, ClusterIndex clusters) const;

 private:
  bool IsFolioShaped(uint64_t base, int order) const;
  void FreeUnowned(uint64_t part, uint64_t pages);

  std::map<uint64_t, Slot> slots_;  // By raw entry; those in use.
};

}  // namespace farswap::core

#endif  // FARSWAP_TESTS_CLIENT_CORE_NAIVE_SWAP_SPACE_H_

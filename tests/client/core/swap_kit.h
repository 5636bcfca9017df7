// What tests of the swap space share: a space with its arena and group, and
// the steps of swapping a folio out and in as the pager takes them.
#ifndef FARSWAP_TESTS_CLIENT_CORE_SWAP_KIT_H_
#define FARSWAP_TESTS_CLIENT_CORE_SWAP_KIT_H_

#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <random>
#include <string>
#include <vector>

#include "client/core/folio.h"
#include "client/core/memory_group.h"
#include "client/core/swap_entry.h"
#include "client/core/swap_space.h"
#include "common/check.h"
#include "common/units.h"

namespace farswap::core {

struct SwapKit {
  explicit SwapKit(size_t clusters = 0, uint64_t limit_pages = 1 << 20)
      : group(&folios, limit_pages), space(&folios) {
    for (size_t i = 0; i < clusters; ++i) AddCluster();
  }

  ClusterIndex AddCluster() {
    ++granted;
    return space.AddCluster({granted, 100 + granted, 0});
  }

  // Charged, with one reference; null at the limit.
  Folio* Make(int order) {
    if (!group.TryCharge(PagesOf(order))) return nullptr;
    return folios.Allocate(order, &group, nullptr, 0);
  }
  // The inverse of Make.
  void Release(Folio* folio) {
    group.Uncharge(PagesOf(folio->order));
    folios.Put(folio);
  }

  // A folio with slots of one owner, as while its put is under way; null if
  // there was no room.
  Folio* Attached(int order) {
    Folio* folio = Make(order);
    FARSWAP_CHECK(folio != nullptr);
    if (!space.FolioAllocSwap(folio)) {
      Release(folio);
      return nullptr;
    }
    space.FolioDupSwap(folio);
    SetSums(folio->entry, order, /*zero=*/false);
    return folio;
  }
  // Sums that name their part.
  void SetSums(SwapEntry entry, int order, bool zero) {
    std::vector<uint32_t> sums;
    for (uint32_t i = 0; i < PartsOf(order); ++i) sums.push_back(1000 + i);
    space.SetSums(entry, order, zero, sums);
  }
  SwapEntry Detach(Folio* folio, uint32_t age = 0) {
    const SwapEntry entry = folio->entry;
    space.SwapCacheDelFolio(folio, age);
    Release(folio);
    return entry;
  }
  // Swapped out: Shadow with one owner. REQUIRES: there is room.
  SwapEntry Out(int order, bool zero = false, uint32_t age = 0) {
    Folio* folio = Attached(order);
    FARSWAP_CHECK(folio != nullptr);
    if (zero) SetSums(folio->entry, order, true);
    return Detach(folio, age);
  }
  CacheAlloc In(SwapEntry entry, uint32_t orders) {
    return space.SwapCacheAllocFolio(entry, orders,
                                     [this](int order) { return Make(order); });
  }
  // Mapped, slots given back, gone.
  void Finish(Folio* folio) {
    space.FolioPutSwap(folio);
    FARSWAP_CHECK(space.FolioFreeSwap(folio));
    Release(folio);
  }
  void Check() const {
    space.CheckInvariants();
    group.CheckInvariants();
  }

  FolioArena folios;
  MemoryGroup group;
  SwapSpace space;
  uint64_t granted = 0;
};

inline bool LongTest() {
  const char* env = std::getenv("FARSWAP_TEST_LONG");
  return env != nullptr && std::string(env) == "1";
}

// A new one for each run, printed, so that FARSWAP_TEST_SEED can repeat it.
inline uint64_t TestSeed() {
  const char* env = std::getenv("FARSWAP_TEST_SEED");
  const uint64_t seed =
      env != nullptr ? std::strtoull(env, nullptr, 10) : std::random_device{}();
  std::cout << "FARSWAP_TEST_SEED=" << seed << std::endl;
  return seed;
}

}  // namespace farswap::core

#endif  // FARSWAP_TESTS_CLIENT_CORE_SWAP_KIT_H_

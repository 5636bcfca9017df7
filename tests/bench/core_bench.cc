// What the swap table and the allocator cost. Run optimised:
//   bazel run --config=opt //tests/bench:core_bench
//
// A number says what one operation costs on this machine with what else runs
// on it: compare numbers of one run.
#include <cstdlib>
#include <random>
#include <thread>
#include <vector>

#include "benchmark/benchmark.h"
#include "client/core/folio.h"
#include "client/core/swap_space.h"
#include "common/units.h"

namespace farswap::core {
namespace {

constexpr size_t kClusters = 64;

struct Space {
  FolioArena folios;
  SwapSpace space{&folios};
  std::vector<SwapEntry> entries;  // The first of each folio that is out.

  Space() {
    for (size_t i = 0; i < kClusters; ++i) space.AddCluster({i + 1, 1, 0});
  }
  // Attached to its slots, with one owner each.
  Folio* Attached(int order) {
    Folio* folio = folios.Allocate(order, nullptr, nullptr, 0);
    if (!space.FolioAllocSwap(folio)) std::abort();
    space.FolioDupSwap(folio);
    return folio;
  }
  SwapEntry Out(int order) {
    Folio* folio = Attached(order);
    const SwapEntry entry = folio->entry;
    space.SwapCacheDelFolio(folio, 0);
    folios.Put(folio);
    return entry;
  }
};

// All clusters in use, by pages: half of each cached, half of it not.
Space& FullSpace() {
  static Space* space = [] {
    auto* made = new Space;
    for (size_t i = 0; i < kClusters * kSlotsPerCluster; ++i) {
      made->entries.push_back(i % 2 == 0 ? made->Out(0)
                                         : made->Attached(0)->entry);
    }
    return made;
  }();
  return *space;
}

// Which entries the threads of a benchmark look at.
enum Spread : int64_t { kAllClusters, kOneCluster, kOneSlot };
size_t Entries(const Space& space, int64_t spread) {
  if (spread == kOneSlot) return 1;
  return spread == kOneCluster ? kSlotsPerCluster : space.entries.size();
}

// A word of a random slot.
void BM_Lookup(benchmark::State& state) {
  Space& space = FullSpace();
  const size_t entries = Entries(space, state.range(0));
  std::minstd_rand random(1 + 7919 * state.thread_index());
  for (auto _ : state) {
    const SwapEntry entry = space.entries[random() % entries];
    benchmark::DoNotOptimize(space.space.WordAt(entry));
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_Lookup)
    ->ArgName("spread")
    ->DenseRange(kAllClusters, kOneSlot)
    ->ThreadRange(1, 2)
    ->UseRealTime();

// The folio of a random slot, if any: what a fault asks first.
void BM_CacheGet(benchmark::State& state) {
  Space& space = FullSpace();
  const size_t entries = Entries(space, state.range(0));
  std::minstd_rand random(1 + 7919 * state.thread_index());
  for (auto _ : state) {
    const SwapEntry entry = space.entries[random() % entries];
    Folio* folio = space.space.SwapCacheGetFolio(entry);
    if (folio != nullptr) space.folios.Put(folio);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_CacheGet)
    ->ArgName("spread")
    ->DenseRange(kAllClusters, kOneCluster)
    ->ThreadRange(1, 2)
    ->UseRealTime();

// Allocate the slots of a folio and give them back.
void BM_AllocFree(benchmark::State& state) {
  const int order = static_cast<int>(state.range(0));
  Space space;
  Folio* folio = space.folios.Allocate(order, nullptr, nullptr, 0);
  // One more folio keeps the cluster's table, as in use it mostly is.
  space.Out(order);
  for (auto _ : state) {
    benchmark::DoNotOptimize(space.space.FolioAllocSwap(folio));
    space.space.FolioFreeSwap(folio);
  }
  state.SetItemsProcessed(state.iterations() * PagesOf(order));
  space.folios.Put(folio);
}
BENCHMARK(BM_AllocFree)->DenseRange(0, kMaxOrder);

// The whole life of a folio's slots but for the I/O: out, and in again.
void BM_OutAndIn(benchmark::State& state) {
  const int order = static_cast<int>(state.range(0));
  Space space;
  for (auto _ : state) {
    Folio* folio = space.folios.Allocate(order, nullptr, nullptr, 0);
    space.space.FolioAllocSwap(folio);
    const SwapEntry entry = folio->entry;
    space.space.FolioDupSwap(folio);
    space.space.SetSums(entry, order, /*zero=*/true, {});
    space.space.SwapCacheDelFolio(folio, 0);
    space.folios.Put(folio);
    const CacheAlloc in =
        space.space.SwapCacheAllocFolio(entry, 1u << order, [&](int wanted) {
          return space.folios.Allocate(wanted, nullptr, nullptr, 0);
        });
    space.space.FolioPutSwap(in.folio);
    space.space.FolioFreeSwap(in.folio);
    space.folios.Put(in.folio);
  }
  state.SetItemsProcessed(state.iterations() * PagesOf(order));
}
BENCHMARK(BM_OutAndIn)->Arg(0)->Arg(kPartOrder)->Arg(kMaxOrder);

// Several threads, each with its own folios.
void BM_AllocFreeThreads(benchmark::State& state) {
  static Space* space = new Space;
  Folio* folio = space->folios.Allocate(0, nullptr, nullptr, 0);
  for (auto _ : state) {
    benchmark::DoNotOptimize(space->space.FolioAllocSwap(folio));
    space->space.FolioFreeSwap(folio);
  }
  state.SetItemsProcessed(state.iterations());
  space->folios.Put(folio);
}
BENCHMARK(BM_AllocFreeThreads)->ThreadRange(1, 2)->UseRealTime();

}  // namespace
}  // namespace farswap::core

int main(int argc, char** argv) {
  // A pager has threads, and glibc's locks are cheaper while there never was
  // one: so that there was one for every measurement.
  std::thread([] {}).join();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

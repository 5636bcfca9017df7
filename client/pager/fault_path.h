// The fault path: from a page fault to a mapped page.
//
// A fault is served in turns. A turn plans under the block's lock what the
// page needs, charges for it without any lock, and acts under the lock again
// if the plan still holds; else the next turn plans anew. So nothing waits
// with a lock held, and whoever was faster is simply found.
//
// | the page is                 | the fault is answered by                    |
// | --------------------------- | ------------------------------------------- |
// | kNone, kZero                | zeros: a 2 MiB page moved in, 64 KiB or     |
// |                             | 4 KiB copied in                             |
// | kSwap, nowhere else         | a folio attached in the swap cache, one     |
// |                             | get, verified, installed                    |
// | kSwap, being read           | who reads it, who installs and wakes; or    |
// |                             | served again, if that fails (waiters.h)     |
// | kSwap, on its way out, kept | a copy from staging; it was wanted: active  |
// | kFolio                      | proof that it is present, and a wake        |
// | kPoisoned                   | poison                                      |
//
// A folio that the page map names only in part, since the program discarded or
// unmapped pages, is fetched and verified whole and mapped page by page.
//
// Thread-safe: any number of workers.
#ifndef FARSWAP_CLIENT_PAGER_FAULT_PATH_H_
#define FARSWAP_CLIENT_PAGER_FAULT_PATH_H_

#include <bitset>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "client/pager/content.h"
#include "client/pager/forget.h"
#include "client/pager/map_changes.h"
#include "client/pager/read_ahead.h"
#include "client/pager/reclaim.h"
#include "client/pager/serving.h"
#include "client/pager/shared.h"
#include "client/pager/uffd.h"
#include "client/pager/waiters.h"

namespace farswap::pager {

// Whether "out of memory" is said of slots that have changed hands: of a race
// that was lost. `word` is the target's, looked at afterwards.
inline bool IsSpuriousOom(const core::CacheAlloc& cache, core::SwapWord word) {
  if (cache.folio != nullptr || cache.error != core::CacheError::kNoMem) {
    return false;
  }
  return cache.fallbacks.alloc == 0 || word.is_cached() || !word.is_shadow() ||
         word.count() == 0;
}

class FaultPath {
 public:
  // A group that is smaller than this many blocks takes no 2 MiB folios: one
  // would push out too much of the rest.
  static constexpr uint64_t kMinBlocksForHuge = 4;

  FaultPath(Shared* shared, Reclaim* reclaim)
      : shared_(*shared),
        reclaim_(*reclaim),
        forget_(shared),
        ahead_([this](Region* region, uint64_t block) {
          return ReadBlock(region, block);
        }) {}
  FaultPath(const FaultPath&) = delete;
  FaultPath& operator=(const FaultPath&) = delete;

  // Serves a fault of that address space, which was read at `start`: when it
  // returns, the page is mapped, poisoned, or its thread has been woken to try
  // again; or another worker is about to do one of these.
  void Serve(const std::shared_ptr<Mm>& mm, const Fault& fault,
             SteadyTime start);

  // Brings in what is in slots at that page, up to `end`, as nobody waits for
  // it: not if there is no room. `*next`: where to go on.
  ReadAhead::Step Prefetch(Region* region, uint64_t page, uint64_t end,
                           uint64_t* next);

  // Reading ahead: on until it is stopped.
  ReadAhead& ahead() { return ahead_; }

 private:
  enum class Turn { kDone, kAgain };
  enum class Kind {
    kDead,
    kPresent,
    kLost,
    kZeros,
    kReading,
    kStaged,
    kSwapIn,
    kBusy,
  };

  // What the page needs. Orders are tried from the highest.
  struct Plan {
    Kind kind = Kind::kPresent;
    PageWord word;        // The plan holds while the page's word is this.
    uint32_t orders = 1;  // Bit n: order n.
  };

  // A fault that is being served.
  struct Service {
    Waiter fault;
    Region* region = nullptr;
    uint64_t page = 0;  // In the region.
    SteadyTime deadline;
    // Whether it wants its block, and what comes next; once asked.
    std::optional<FaultSize::Advice> stream;
    absl::Status error;  // Why the last turn failed, if it did.
    PageWord word;       // As of the last plan.
    // Pages of a half installed folio that the kernel refused for good; and,
    // if it is `partial`, those that are there: the others are being moved.
    std::bitset<kPagesPerPmd> refused;
    std::bitset<kPagesPerPmd> there;
    bool partial = false;
    int refusal = 0;  // Why: the last of the errnos.
    // A page of it was there before.
    bool adopted = false;
    // Its block cannot come whole, and what is next to it is wanted, too.
    bool pieces = false;
    // Nobody waited when it began.
    bool ahead = false;
    // Left to another worker's read.
    bool relies = false;
    // Faults that relied on a read of this one, to be served by this worker.
    std::vector<Waiter>* again = nullptr;
  };

  // A folio under way in: attached, reading.
  struct Read {
    core::Folio* folio = nullptr;
    core::CacheAlloc cache;
    core::ClusterGrant grant;
    Sums sums{};            // As they were stored.
    Staging::Filled block;  // Where a 2 MiB folio is received.
    char* bytes = nullptr;  // Where the bytes are.
    Content content;
  };

  struct Neighbour;

  void ServeOne(const Waiter& fault, std::vector<Waiter>* again);
  // A fault at an address that is no region's. False: it is now, or it is not
  // known yet.
  bool ServeNobodys(const Waiter& fault);
  // Its thread tries again, at the address where it waits.
  static void WakeFault(const Waiter& fault) {
    (void)fault.mm->space->Wake(PageAt(fault.fault.address), kPageBytes);
  }
  static char* PageAt(char* at) {
    return at - reinterpret_cast<uintptr_t>(at) % kPageBytes;
  }
  // Who waits for pages of a region, wherever they are.
  static void WakePages(const Region& region, uint64_t page, uint64_t pages);
  // SIGBUS on touch, as PoisonOrWake.
  static void PoisonPages(const Region& region, uint64_t page, uint64_t pages);
  void RunTurns(Service* service);
  void CountLatency(const Waiter& fault);
  const FaultSize::Advice& Advise(Service* service) const;

  // Of a page that nobody waits for, as yet.
  static Service Unasked(Region* region, uint64_t page, SteadyTime start,
                         SteadyTime deadline, std::vector<Waiter>* again);
  // Brings a block in that nobody waits for, as yet.
  ReadAhead::Step ReadBlock(Region* region, uint64_t block);
  ReadAhead::Step ReadUnasked(Region* region, uint64_t page, const Plan& plan);
  // A folio that nobody asked for is here.
  void CountAhead(const Service& service);
  ReadAhead::Step ReadCharged(Service* service, const Plan& plan, int order);
  Turn TakeTurn(Service* service);
  Plan MakePlan(Service* service);
  // The slot has a folio. `held`: the lock of the fault's block.
  void PlanCached(Service* service, core::Folio* folio, Mutex* held,
                  Plan* plan);
  // The page next to the folio of that order from `first`, on that side.
  static uint64_t NextAlong(uint64_t first, int order, int along) {
    return along > 0 ? first + PagesOf(order) : first - 1;
  }
  // Whether what follows the page's folio, of that order, is in a slot.
  static bool IsWantedAlong(const PageMap& map, uint64_t page, int order,
                            int along);
  uint32_t ZeroOrdersLocked(Service* service) const;
  uint32_t SwapInOrdersLocked(Service* service, core::SwapEntry entry) const;

  // Charges the highest of the orders that there is room for; the orders
  // below it and it are left in the mask. False: not even a page.
  bool Charge(Service* service, uint32_t* orders, bool frees_slots);

  Turn ZeroFill(Service* service, const Plan& plan);
  Turn ZeroFillBlock(Service* service, const Plan& plan, char* block);
  Turn ZeroFillSmall(Service* service, const Plan& plan, int order);
  // The zeros are there; takes over the folio's charge and reference if it
  // says true. False: pages that the program's discard has left, or not yet
  // dropped, are among them, so that it is no folio to be taken out as yet.
  bool ZerosInstalledLocked(Service* service, const Plan& plan,
                            core::Folio* folio);
  Turn FromStaging(Service* service, const Plan& plan);
  // `*used`: pages of the charge that are mapped now. `*spare`: staging that
  // is to be given back, if any.
  bool CopyStagedLocked(Service* service, core::Folio* folio, uint64_t* used,
                        char** spare);
  Turn SwapIn(Service* service, Plan plan);
  Turn ProvePresent(Service* service);
  Turn Repoison(Service* service);

  // Where a worker receives folios below 2 MiB: its own, so that getting it
  // takes no lock, and small enough to stay in the processor's cache. On the
  // heap, for thread-local arrays would be in every thread of the program.
  static char* SmallBuffer();

  // The rest of SwapIn where the folio's neighbours come, too: of the same
  // block, in the same RPC. If that fails the folio comes by itself.
  Turn SwapInAlong(Service* service, Read* first);
  std::vector<Neighbour> AttachAlong(Service* service, const Read& first);
  // Nullopt: nothing is to be fetched there, or there is no room.
  std::optional<Neighbour> AttachNeighbour(const Service& service,
                                           uint32_t session, uint64_t page);
  // False if not all came, or the first is not what was stored.
  bool FetchAlong(Service* service, Read* first,
                  std::vector<Neighbour>* neighbours,
                  std::unique_ptr<char[]>* bytes);
  void InstallNeighbour(Neighbour* neighbour);

  // The parts of SwapIn.
  bool Attach(Service* service, const Plan& plan, int charged, Read* read);
  absl::Status Fetch(Service* service, Read* read);
  absl::Status Verify(Read* read) const;
  void CountFetched(const Read& read) const;
  Turn Install(Service* service, Read* read);
  void InstalledWholeLocked(Service* service, Read* read,
                            std::vector<Waiter>* served);
  // Page by page; detaches the folio, whose charge it takes over in part.
  uint64_t InstallInPartLocked(Service* service, Read* read, bool* done);
  // Copies the pages of the fault's block that the map names in the folio's
  // slots, as folios of one page. Returns how many; `*served`: the fault's own
  // is among them.
  uint64_t InstallPagesLocked(Service* service, core::SwapEntry head, int order,
                              const char* bytes, bool* served);
  // Of a partial install of zeros: makes folios of what is there. Returns how
  // many.
  uint64_t KeepZerosLocked(Service* service, uint64_t first, int order);
  void Abandon(Service* service, Read* read);
  // Detaches a folio and gives back what it held. Who relied on it is served
  // once this one is: `service->again`.
  void GiveUp(Service* service, Read* read);
  // Detaches a folio that was not installed. Who relied on it is the caller's
  // now. REQUIRES: its block lock.
  void DetachLocked(Read* read, std::vector<Waiter>* relied);
  // Gives back what it held.
  void Release(Service* service, Read* read);

  // Whether the folio's pages are in place after an install that ended with
  // `result`; mends what can be mended. Sets the error if it is hopeless.
  // `adopt`: zeros, and what is present already may stay.
  bool InstalledLocked(Service* service, core::Folio* folio, const char* bytes,
                       OpResult result, bool adopt);
  void SetInstallError(Service* service, int error) const;
  // Copies what is not there yet. Returns the pages that are; notes those that
  // the kernel refuses for good. What the program discards or unmaps meanwhile
  // is left out: the page map will hear of it. What it moves stays where it
  // was taken from, so the install is partial.
  size_t CopyRest(Service* service, core::Folio* folio, const char* bytes,
                  size_t done, bool adopt);
  // Those pages are lost, once the folio is mapped.
  void LoseRefusedLocked(Service* service, core::Folio* folio);
  // Zeros of a discarded block: what is present there is as good; or of memory
  // that was found: what is there is the program's.
  static bool MayAdoptLocked(Region* region, uint64_t page) {
    return region->found() ||
           region->map().GetBlock(page / kPagesPerPmd).discarded();
  }
  // Moves a filled 2 MiB page in, after dropping what would split it.
  OpResult MoveBlockLocked(Region* region, uint64_t page, char* block);
  // A block came back: mapped huge, or not.
  void CountBlockLocked(Region* region, uint64_t page);
  // A block was wanted whole that is not in 512 slots of one cluster.
  void CountBlockInPiecesLocked(const PageMap& map, uint64_t page) const;
  // What the swap cache gave for a plan. REQUIRES: the block's lock.
  void CountAttach(const Plan& plan, const core::CacheAlloc& cache);
  void CountThpFallback(ThpFallback cause) const;
  // The folio is mapped: map, LRU, counters. Takes over a reference.
  void MappedLocked(Region* region, core::Folio* folio, bool active);

  // The failure policy, unless the page is there meanwhile, or will be.
  // `read`, if any, is abandoned in the same step, so that no other fault
  // comes in between.
  void Fail(Service* service, const absl::Status& why, Read* read);
  // The end of a turn whose read could not be had.
  Turn Unfetched(Service* service, const absl::Status& why, Read* read);
  // Whether the region's policy is to wait on after that failure; then the
  // fault has another deadline, and no error.
  bool WaitsOn(Service* service, const absl::Status& why);
  // Returns the pages lost.
  uint64_t LoseLocked(Service* service, const absl::Status& why);
  uint64_t LoseSwapLocked(Service* service, PageWord word,
                          const absl::Status& why);
  void DeclareLost(const Service& service, const absl::Status& why,
                   uint64_t pages);
  // SIGBUS on touch; where that cannot be had, another fault.
  static void PoisonOrWake(AddressSpace* space, char* at, size_t bytes);

  Shared& shared_;
  Reclaim& reclaim_;
  Forget forget_;
  Serving serving_;
  Waiters waiters_;
  ReadAhead ahead_;
};

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_FAULT_PATH_H_

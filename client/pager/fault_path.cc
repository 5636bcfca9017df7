#include "client/pager/fault_path.h"

#include <errno.h>

#include <algorithm>
#include <bit>
#include <thread>

#include "common/log_raw.h"

namespace farswap::pager {
namespace {

// Turns lost to races before a worker steps aside for who is faster.
constexpr int kEagerTurns = 8;
constexpr std::chrono::microseconds kStepAside{50};
// Never written.
alignas(kPageBytes) const char kZeroPage[kPageBytes] = {};

SteadyTime Now() { return std::chrono::steady_clock::now(); }

}  // namespace

void FaultPath::Serve(const std::shared_ptr<Mm>& mm, const Fault& fault,
                      SteadyTime start) {
  shared_.counters.faults.Add();
  shared_.counters.stages.queue.Record(Now() - start);
  const Demand demand(&shared_.demand);
  char* const page =
      fault.address - reinterpret_cast<uintptr_t>(fault.address) % kPageBytes;
  if (!serving_.Enter(mm.get(), fault.tid, page)) return;
  std::vector<Waiter> again;  // Allocates only if a read failed.
  ServeOne({.mm = mm, .fault = fault, .start = start}, &again);
  for (size_t i = 0; i < again.size(); ++i) {
    const Waiter next = again[i];
    ServeOne(next, &again);
  }
  if (serving_.Leave(mm.get(), fault.tid, page)) {
    (void)mm->space->Wake(page, kPageBytes);
  }
}

void FaultPath::ServeOne(const Waiter& fault, std::vector<Waiter>* again) {
  char* const at = fault.fault.address;
  uint64_t page = 0;
  Mm& mm = *fault.mm;
  std::shared_ptr<Region> region = mm.regions.Find(at, &page);
  while (region == nullptr) {
    // What is told and not applied may give it to one.
    mm.changes->Apply();
    region = mm.regions.Find(at, &page);
    if (region == nullptr && ServeNobodys(fault)) return;
  }
  Service service;
  service.fault = fault;
  service.region = region.get();
  service.page = page;
  service.deadline = fault.start + shared_.fault_deadline;
  service.again = again;
  RunTurns(&service);
  if (!service.relies) CountLatency(fault);
  // Afterwards: what nobody waits for yet does not delay what somebody does.
  if (service.stream && service.stream->ahead != 0) {
    ahead_.Ask(region, service.page / kPagesPerPmd, service.stream->ahead);
  }
}

// The kernel registers what mremap grows, and what it leaves behind
// (MREMAP_DONTUNMAP). Nothing was ever there: it is the program's own memory,
// and zeros. What was unmapped meanwhile its thread meets when it tries again.
bool FaultPath::ServeNobodys(const Waiter& fault) {
  char* const at = fault.fault.address;
  char* const page = PageAt(at);
  AddressSpace& space = *fault.mm->space;
  OpResult copied{EAGAIN, 0};
  const bool nobodys = fault.mm->regions.IfNobodys(page, [&] {
    // Else it may be a region's, and nobody knows yet.
    if (!space.Settled(page, kPageBytes)) return;
    copied = space.CopyIn(page, kZeroPage, kPageBytes);
  });
  if (!nobodys) return false;
  if (copied.ok()) return true;
  const bool late = Now() >= fault.start + shared_.fault_deadline;
  if ((copied.error == EAGAIN || copied.error == ENOMEM) && !late) {
    std::this_thread::sleep_for(kStepAside);
    return false;
  }
  if (late) {
    LogRaw(LogLevel::kError, "%p is not known to be a region's, or none's",
           static_cast<void*>(at));
    PoisonOrWake(&space, page, kPageBytes);
    return true;
  }
  (void)space.Wake(page, kPageBytes);
  return true;
}

void FaultPath::RunTurns(Service* service) {
  for (int turns = 0; TakeTurn(service) == Turn::kAgain; ++turns) {
    if (service->error.ok() && Now() >= service->deadline) {
      service->error = absl::DeadlineExceededError("there was no way in time");
    }
    if (!service->error.ok() && !WaitsOn(service, service->error)) {
      Fail(service, service->error, /*read=*/nullptr);
      return;
    }
    // What it waits for may be a change that every worker waits for.
    service->fault.mm->changes->Apply();
    if (turns >= kEagerTurns) std::this_thread::sleep_for(kStepAside);
  }
}

void FaultPath::CountLatency(const Waiter& fault) {
  const std::chrono::nanoseconds took = Now() - fault.start;
  shared_.counters.fault_ns.Add(static_cast<uint64_t>(took.count()));
  shared_.counters.stages.total.Record(took);
}

FaultPath::Turn FaultPath::TakeTurn(Service* service) {
  const Plan plan = MakePlan(service);
  switch (plan.kind) {
    case Kind::kDead:
      // Its thread meets what is there now when it tries again.
      WakeFault(service->fault);
      return Turn::kDone;
    case Kind::kPresent:
      return ProvePresent(service);
    case Kind::kLost:
      return Repoison(service);
    case Kind::kReading:
      return Turn::kDone;
    case Kind::kZeros:
      return ZeroFill(service, plan);
    case Kind::kStaged:
      return FromStaging(service, plan);
    case Kind::kSwapIn:
      return SwapIn(service, plan);
    case Kind::kBusy:
      break;
  }
  return Turn::kAgain;
}

bool FaultPath::IsWantedAlong(const PageMap& map, uint64_t page, int order,
                              int along) {
  const uint64_t next =
      NextAlong(AlignDown(page, PagesOf(order)), order, along);
  return along != 0 &&
         AlignDown(next, kPagesPerPmd) == AlignDown(page, kPagesPerPmd) &&
         map.Get(next).kind() == PageWord::Kind::kSwap;
}

FaultPath::Plan FaultPath::MakePlan(Service* service) {
  Region* const region = service->region;
  Mutex* const mu = shared_.LockOf(region, service->page);
  MutexLock lock(mu);
  Plan plan;
  plan.word = service->word = region->map().Get(service->page);
  const bool there =
      region->AddressOf(service->page) == PageAt(service->fault.fault.address);
  if (region->dead() || !there || plan.word.kind() == PageWord::Kind::kHole) {
    plan.kind = Kind::kDead;
    return plan;
  }
  switch (plan.word.kind()) {
    case PageWord::Kind::kNone:
    case PageWord::Kind::kZero:
      plan.kind = Kind::kZeros;
      plan.orders = ZeroOrdersLocked(service);
      return plan;
    case PageWord::Kind::kPoisoned:
      plan.kind = Kind::kLost;
      return plan;
    case PageWord::Kind::kSwap:
      break;
    default:
      plan.kind = Kind::kPresent;
      return plan;
  }
  const Grace::Hold hold(&shared_.grace);
  core::Folio* const folio = shared_.swap.SwapCacheGetFolio(plan.word.entry());
  if (folio == nullptr) {
    plan.kind = Kind::kSwapIn;
    plan.orders = SwapInOrdersLocked(service, plan.word.entry());
    return plan;
  }
  PlanCached(service, folio, mu, &plan);
  shared_.folios.Put(folio);
  return plan;
}

void FaultPath::PlanCached(Service* service, core::Folio* folio, Mutex* held,
                           Plan* plan) {
  const OtherLock lock(&shared_, folio, held);
  if (!lock.owned()) {
    plan->kind = Kind::kBusy;
    return;
  }
  if (folio->mapped) {
    // A clean copy of another address space's page, which this one owns as
    // well, since a fork: that goes on without it.
    if (folio->has_swap && !folio->writeback) {
      shared_.swap.SwapCacheDelFolio(folio, /*age=*/0);
    }
    plan->kind = Kind::kBusy;
    return;
  }
  plan->kind = folio->reading ? Kind::kReading : Kind::kStaged;
  plan->orders = 1u << folio->order;
  if (folio->reading) {
    if (folio->order == kPmdOrder) Advise(service);
    waiters_.Add(folio->id, service->fault);
    service->relies = true;
  }
}

uint32_t FaultPath::ZeroOrdersLocked(Service* service) const {
  Region* const region = service->region;
  const PageMap& map = region->map();
  uint32_t orders = 1;
  const uint64_t part = AlignDown(service->page, kPagesPerPart);
  const uint64_t block = AlignDown(service->page, kPagesPerPmd);
  if (map.AllZeros(part, kPartOrder) && region->IsWhole(part, kPartOrder)) {
    orders |= 1u << kPartOrder;
  }
  if (region->huge() &&
      region->group()->limit() >= kMinBlocksForHuge * kPagesPerPmd &&
      map.GetBlock(service->page / kPagesPerPmd).is_zeros() &&
      region->IsWhole(block, kPmdOrder) &&
      // Of memory that was found nobody said that it is used densely.
      (!region->found() || Advise(service).whole)) {
    orders |= 1u << kPmdOrder;
  }
  return orders;
}

const FaultSize::Advice& FaultPath::Advise(Service* service) const {
  if (!service->stream) {
    service->stream =
        service->region->fault_size().Advise(service->page / kPagesPerPart);
    const uint32_t hits = service->stream->hits;
    if (hits > 0) shared_.counters.swap_ra_hit.Add(hits);
  }
  return *service->stream;
}

uint32_t FaultPath::SwapInOrdersLocked(Service* service,
                                       core::SwapEntry entry) const {
  Region* const region = service->region;
  const PageMap& map = region->map();
  const uint64_t page = service->page;
  const bool whole = Advise(service).whole;
  service->pieces = false;
  // A part is fetched and verified whole, so its order is the least.
  const int least = shared_.swap.PartOrder(entry);
  uint32_t orders = 1u << least;
  if (least < kPartOrder &&
      page % kPagesPerPart == entry.slot() % kPagesPerPart &&
      map.IsSwapRun(AlignDown(page, kPagesPerPart), kPartOrder,
                    entry.AlignedTo(kPartOrder)) &&
      region->IsWhole(AlignDown(page, kPagesPerPart), kPartOrder)) {
    orders |= 1u << kPartOrder;
  }
  if (whole && region->group()->limit() >= kMinBlocksForHuge * kPagesPerPmd) {
    if (map.GetBlock(page / kPagesPerPmd).kind() == PageWord::Kind::kSwap &&
        region->IsWhole(AlignDown(page, kPagesPerPmd), kPmdOrder)) {
      orders |= 1u << kPmdOrder;
    } else {
      service->pieces = service->stream->parts > 1 &&
                        IsWantedAlong(map, page, least, service->stream->along);
      CountBlockInPiecesLocked(map, page);
    }
  }
  return orders;
}

bool FaultPath::Charge(Service* service, uint32_t* orders, bool frees_slots) {
  AddressSpace& space = SpaceOf(*service->region);
  if (!space.CanTakeOut() || space.IsAwaited(service->fault.fault.address)) {
    *orders &= ~(*orders - 1);  // The lowest.
    const int order = std::bit_width(*orders) - 1;
    service->region->group()->ForceCharge(PagesOf(order));
    return true;
  }
  while (*orders != 0) {
    const int order = std::bit_width(*orders) - 1;
    const bool last = std::has_single_bit(*orders);
    // Room comes at the wire's speed whatever the order, so waiting less for
    // a large one would only split the block. Half of what is left, so that
    // something is left for the smaller ones.
    const SteadyTime now = Now();
    const SteadyTime until =
        last ? service->deadline : now + (service->deadline - now) / 2;
    if (reclaim_.Charge(service->region->group(), PagesOf(order), until,
                        frees_slots)) {
      return true;
    }
    shared_.counters.swpin_fallback[order].Add();
    if (frees_slots && order == kPmdOrder) {
      CountThpFallback(ThpFallback::kCharge);
    }
    *orders &= ~(1u << order);
  }
  service->error = absl::DeadlineExceededError(
      "no local memory came free: the limit is in use and nothing can be "
      "written out (no server grants more, or the swap limit is in use)");
  return false;
}

FaultPath::Turn FaultPath::ProvePresent(Service* service) {
  Region* const region = service->region;
  MutexLock lock(shared_.LockOf(region, service->page));
  AddressSpace& space = SpaceOf(*region);
  char* const at = region->AddressOf(service->page);
  if (region->dead() || at != PageAt(service->fault.fault.address) ||
      region->map().Get(service->page).kind() != PageWord::Kind::kFolio) {
    return Turn::kAgain;
  }
  if (space.IsChanging(at, kPageBytes)) return Turn::kAgain;
  if (space.IsPresent(at)) {
    shared_.counters.fault_spurious.Add();
    (void)space.Wake(at, kPageBytes);
    return Turn::kDone;
  }
  // Unmapped or moved, and nobody has read of it yet.
  if (!space.Settled(at, kPageBytes)) return Turn::kAgain;
  if (region->map().GetBlock(service->page / kPagesPerPmd).discarded()) {
    // The program's discard came after the page was mapped anew.
    forget_.RangeLocked(region, service->page, 1, PageWord());
    return Turn::kAgain;
  }
  // Its bytes are gone, and nothing told us: zeros would be a guess.
  service->error = absl::DataLossError(
      "the page is not where it was put: the program discarded or remapped a "
      "part of the region");
  return Turn::kAgain;
}

FaultPath::Turn FaultPath::Repoison(Service* service) {
  Region* const region = service->region;
  MutexLock lock(shared_.LockOf(region, service->page));
  char* const at = region->AddressOf(service->page);
  if (region->dead() || at != PageAt(service->fault.fault.address)) {
    WakeFault(service->fault);
    return Turn::kDone;
  }
  // Its marker is gone, or was never set for want of memory.
  PoisonOrWake(&SpaceOf(*region), at, kPageBytes);
  return Turn::kDone;
}

OpResult FaultPath::MoveBlockLocked(Region* region, uint64_t page,
                                    char* block) {
  AddressSpace& space = SpaceOf(*region);
  PageMap& map = region->map();
  const uint64_t index = page / kPagesPerPmd;
  char* const home = region->AddressOf(index * kPagesPerPmd);
  // Pages may be there that the page map takes for absent zeros: MADV_FREE
  // leaves them, and a discard that could not cut a folio.
  const char* const end = home + kPmdBytes;
  if (map.GetBlock(index).has_table() && !region->carved() &&
      space.FirstPresent(home, end) == end) {
    // If it is refused, the block arrives as 512 pages.
    (void)space.DropTable(home);
  }
  const OpResult moved = space.MoveIn(home, block, kPmdBytes);
  if (moved.ok()) map.SetTable(index, !space.IsHuge(home));
  return moved;
}

void FaultPath::MappedLocked(Region* region, core::Folio* folio, bool active) {
  folio->mapped = true;
  region->map().Set(folio->index, folio->order, PageWord::Folio(folio->id));
  region->group()->LruAdd(folio, active);
  shared_.counters.resident_pages.Add(PagesOf(folio->order));
}

}  // namespace farswap::pager

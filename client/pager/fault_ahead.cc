// FaultPath: what is read before a fault asks for it: ahead of a stream, or
// because the program says so.
#include <bit>
#include <chrono>
#include <vector>

#include "client/pager/fault_path.h"

namespace farswap::pager {
namespace {

// A server that takes longer is not asked for what nobody waits for; who came
// to wait meanwhile is served anew, within his own deadline.
constexpr std::chrono::seconds kAheadWait{2};

// Whether that many pages leave free what reclaim keeps free, in the group and
// in those above it.
bool HasRoomAboveLow(const core::MemoryGroup& group, uint64_t pages) {
  const core::MemoryGroup* at = &group;
  while (at != nullptr && at->usage() + pages + at->low() <= at->limit()) {
    at = at->parent();
  }
  return at == nullptr;
}

}  // namespace

ReadAhead::Step FaultPath::ReadBlock(Region* region, uint64_t block) {
  const uint64_t page = block * kPagesPerPmd;
  Plan plan;
  plan.orders = 1u << kPmdOrder;
  {
    MutexLock lock(shared_.LockOf(region, page));
    plan.word = region->map().Get(page);
    const PageWord whole = region->map().GetBlock(block);
    // Not whole, or here already, or on its way: a fault knows best.
    if (region->dead() || whole.kind() != PageWord::Kind::kSwap ||
        !region->IsWhole(page, kPmdOrder)) {
      return ReadAhead::Step::kDone;
    }
  }
  return ReadUnasked(region, page, plan);
}

ReadAhead::Step FaultPath::Prefetch(Region* region, uint64_t page, uint64_t end,
                                    uint64_t* next) {
  const uint64_t block_end = AlignDown(page, kPagesPerPmd) + kPagesPerPmd;
  Plan plan;
  {
    MutexLock lock(shared_.LockOf(region, page));
    const PageWord block = region->map().GetBlock(page / kPagesPerPmd);
    plan.word = region->map().Get(page);
    *next = block.kind() == PageWord::Kind::kLeaf ? page + 1 : block_end;
    if (region->dead() || plan.word.kind() != PageWord::Kind::kSwap) {
      return ReadAhead::Step::kDone;
    }
    const bool whole =
        block.kind() == PageWord::Kind::kSwap && page % kPagesPerPmd == 0 &&
        block_end <= end && region->IsWhole(page, kPmdOrder) &&
        region->group()->limit() >= kMinBlocksForHuge * kPagesPerPmd;
    const int order =
        whole ? kPmdOrder : shared_.swap.PartOrder(plan.word.entry());
    plan.orders = 1u << order;
    *next = AlignDown(page, PagesOf(order)) + PagesOf(order);
  }
  // What reclaim keeps free is for faults.
  const int order = std::bit_width(plan.orders) - 1;
  if (!HasRoomAboveLow(*region->group(), PagesOf(order))) {
    return ReadAhead::Step::kNoRoom;
  }
  return ReadUnasked(region, page, plan);
}

FaultPath::Service FaultPath::Unasked(Region* region, uint64_t page,
                                      SteadyTime start, SteadyTime deadline,
                                      std::vector<Waiter>* again) {
  Service service;
  service.region = region;
  service.page = page;
  service.fault.mm = region->mm();
  service.fault.start = start;
  service.fault.fault.address = region->AddressOf(page);
  service.deadline = deadline;
  service.again = again;
  service.ahead = true;
  return service;
}

ReadAhead::Step FaultPath::ReadUnasked(Region* region, uint64_t page,
                                       const Plan& plan) {
  std::vector<Waiter> again;
  const SteadyTime now = std::chrono::steady_clock::now();
  Service service = Unasked(region, page, now, now + kAheadWait, &again);
  service.word = plan.word;
  const int order = std::bit_width(plan.orders) - 1;
  if (!reclaim_.TryCharge(region->group(), PagesOf(order))) {
    return ReadAhead::Step::kNoRoom;
  }
  const ReadAhead::Step step = ReadCharged(&service, plan, order);
  for (size_t i = 0; i < again.size(); ++i) {
    const Waiter next = again[i];
    ServeOne(next, &again);
  }
  return step;
}

void FaultPath::CountAhead(const Service& service) {
  shared_.counters.swap_ra.Add();
  service.region->fault_size().CameAhead(service.page / kPagesPerPart);
}

ReadAhead::Step FaultPath::ReadCharged(Service* service, const Plan& plan,
                                       int order) {
  Read read;
  if (order == kPmdOrder) read.block = shared_.staging->GetFilled();
  if (order == kPmdOrder && read.block.buffer == nullptr) {
    service->region->group()->Uncharge(kPagesPerPmd);
    return ReadAhead::Step::kNoRoom;
  }
  if (!Attach(service, plan, order, &read)) return ReadAhead::Step::kDone;
  const absl::Status status = Fetch(service, &read);
  if (!status.ok()) {
    // Nothing is lost: who came to wait finds out himself.
    GiveUp(service, &read);
    return ReadAhead::Step::kNoRoom;
  }
  CountAhead(*service);
  Install(service, &read);
  return ReadAhead::Step::kDone;
}

}  // namespace farswap::pager

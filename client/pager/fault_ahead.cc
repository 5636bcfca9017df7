// FaultPath: blocks that are read ahead of a stream.
#include <chrono>
#include <vector>

#include "client/pager/fault_path.h"

namespace farswap::pager {
namespace {

// A server that takes longer is not asked for what nobody waits for; who came
// to wait meanwhile is served anew, within his own deadline.
constexpr std::chrono::seconds kAheadWait{2};

}  // namespace

ReadAhead::Step FaultPath::ReadBlock(Region* region, uint64_t block) {
  std::vector<Waiter> again;
  Service service;
  service.region = region;
  service.page = block * kPagesPerPmd;
  service.fault.start = std::chrono::steady_clock::now();
  service.fault.fault.address = region->AddressOf(service.page);
  service.deadline = service.fault.start + kAheadWait;
  service.again = &again;
  service.ahead = true;
  Plan plan;
  plan.orders = 1u << kPmdOrder;
  {
    MutexLock lock(shared_.LockOf(region, service.page));
    plan.word = region->map().Get(service.page);
    const PageWord whole = region->map().GetBlock(block);
    // Not whole, or here already, or on its way: a fault knows best.
    if (region->dead() || whole.kind() != PageWord::Kind::kSwap) {
      return ReadAhead::Step::kDone;
    }
  }
  if (!reclaim_.TryCharge(region->group(), kPagesPerPmd)) {
    return ReadAhead::Step::kNoRoom;
  }
  const ReadAhead::Step step = ReadCharged(&service, plan);
  for (size_t i = 0; i < again.size(); ++i) {
    const Waiter next = again[i];
    ServeOne(next, &again);
  }
  return step;
}

ReadAhead::Step FaultPath::ReadCharged(Service* service, const Plan& plan) {
  Read read;
  read.block = shared_.staging->GetFilled();
  if (read.block.buffer == nullptr) {
    service->region->group()->Uncharge(kPagesPerPmd);
    return ReadAhead::Step::kNoRoom;
  }
  if (!Attach(service, plan, kPmdOrder, &read)) return ReadAhead::Step::kDone;
  const absl::Status status = Fetch(service, &read);
  if (!status.ok()) {
    // Nothing is lost: who came to wait finds out himself.
    {
      MutexLock lock(shared_.LockOf(service->region, service->page));
      DetachLocked(&read, service->again);
    }
    Release(service, &read);
    return ReadAhead::Step::kNoRoom;
  }
  shared_.counters.swap_ra.Add();
  Install(service, &read);
  return ReadAhead::Step::kDone;
}

}  // namespace farswap::pager

// FaultPath: first touches, and pages that were taken out as zeros.
#include <errno.h>
#include <sys/mman.h>

#include <bit>
#include <cstring>

#include "client/pager/fault_path.h"
#include "common/log_raw.h"

namespace farswap::pager {
namespace {

// Never written, so it costs the kernel's page of zeros and a page table.
const char* Zeros() {
  static const void* const zeros =
      mmap(nullptr, kPmdBytes, PROT_READ,
           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (zeros == MAP_FAILED) DieRaw("no address space for 2 MiB of zeros");
  return static_cast<const char*>(zeros);
}

// Makes all of a received buffer zeros.
bool Clear(const Staging::Filled& block) {
  if (!block.zeroed) {
    std::memset(block.buffer, 0, kPmdBytes);
    return true;
  }
  // Populates it, with one 2 MiB page if there is one.
  return madvise(block.buffer, kPmdBytes, MADV_POPULATE_WRITE) == 0;
}

}  // namespace

FaultPath::Turn FaultPath::ZeroFill(Service* service, const Plan& plan) {
  core::MemoryGroup* const group = service->region->group();
  uint32_t orders = plan.orders;
  if (!Charge(service, &orders, /*frees_slots=*/false)) return Turn::kAgain;
  int order = std::bit_width(orders) - 1;
  if (order == kPmdOrder && !shared_.staging->plain()) {
    const Staging::Filled block = shared_.staging->GetFilled();
    if (block.buffer != nullptr && Clear(block)) {
      return ZeroFillBlock(service, plan, block.buffer);
    }
    if (block.buffer != nullptr) {
      shared_.staging->PutReceived(block.buffer, Staging::Left::kAll);
    }
    orders &= ~(1u << kPmdOrder);
    order = std::bit_width(orders) - 1;
    group->Uncharge(kPagesPerPmd - PagesOf(order));
  }
  return ZeroFillSmall(service, plan, order);
}

FaultPath::Turn FaultPath::ZeroFillBlock(Service* service, const Plan& plan,
                                         char* block) {
  Region* const region = service->region;
  const uint64_t first = AlignDown(service->page, kPagesPerPmd);
  core::Folio* const folio =
      shared_.folios.Allocate(kPmdOrder, region->group(), region, first);
  bool done = false;
  bool mapped = false;
  uint64_t kept = 0;  // Of the charge.
  Staging::Left left = Staging::Left::kAll;
  if (folio != nullptr) {
    MutexLock lock(shared_.LockOf(region, first));
    const bool holds =
        !region->dead() && region->map().Get(service->page) == plan.word &&
        region->map().GetBlock(first / kPagesPerPmd).is_zeros() &&
        region->IsWhole(first, kPmdOrder);
    if (holds) {
      const StageTimer timer(&shared_.counters.stages.install[kPmdOrder]);
      const OpResult result = MoveBlockLocked(region, first, block);
      left = shared_.staging->LeftAfter(result);
      done = InstalledLocked(service, folio, block, result,
                             MayAdoptLocked(region, first));
    }
    if (done) mapped = ZerosInstalledLocked(service, plan, folio);
    if (service->partial) kept = KeepZerosLocked(service, first, kPmdOrder);
  }
  shared_.staging->PutReceived(block, left);
  if (mapped) return Turn::kDone;
  region->group()->Uncharge(kPagesPerPmd - kept);
  if (folio != nullptr) shared_.folios.Put(folio);
  return done ? Turn::kDone : Turn::kAgain;
}

FaultPath::Turn FaultPath::ZeroFillSmall(Service* service, const Plan& plan,
                                         int order) {
  Region* const region = service->region;
  const uint64_t first = AlignDown(service->page, PagesOf(order));
  core::Folio* const folio =
      shared_.folios.Allocate(order, region->group(), region, first);
  bool done = false;
  bool mapped = false;
  uint64_t kept = 0;  // Of the charge.
  if (folio != nullptr) {
    MutexLock lock(shared_.LockOf(region, first));
    if (!region->dead() && region->map().Get(service->page) == plan.word &&
        region->map().AllZeros(first, order) && region->IsWhole(first, order)) {
      const StageTimer timer(&shared_.counters.stages.install[order]);
      const OpResult result = SpaceOf(*region).CopyIn(region->AddressOf(first),
                                                      Zeros(), BytesOf(order));
      done = InstalledLocked(service, folio, Zeros(), result,
                             MayAdoptLocked(region, first));
    }
    if (done) mapped = ZerosInstalledLocked(service, plan, folio);
    if (service->partial) kept = KeepZerosLocked(service, first, order);
  }
  if (mapped) return Turn::kDone;
  region->group()->Uncharge(PagesOf(order) - kept);
  if (folio != nullptr) shared_.folios.Put(folio);
  return done ? Turn::kDone : Turn::kAgain;
}

uint64_t FaultPath::KeepZerosLocked(Service* service, uint64_t first,
                                    int order) {
  Region* const region = service->region;
  service->partial = false;
  uint64_t kept = 0;
  for (uint32_t i = 0; i < PagesOf(order); ++i) {
    if (!service->there.test(i)) continue;
    core::Folio* const page =
        shared_.folios.Allocate(0, region->group(), region, first + i);
    // Else it stays, not accounted for, until it is found.
    if (page == nullptr) continue;
    MappedLocked(region, page, /*active=*/false);
    ++kept;
  }
  return kept;
}

bool FaultPath::ZerosInstalledLocked(Service* service, const Plan& plan,
                                     core::Folio* folio) {
  Region* const region = service->region;
  if (plan.word.kind() == PageWord::Kind::kZero) {
    shared_.counters.swpin_zero.Add();
  }
  if (!service->adopted) {
    MappedLocked(region, folio, /*active=*/false);
    LoseRefusedLocked(service, folio);
    return true;
  }
  char* const home = region->AddressOf(folio->index);
  region->mm()->changes->AddLeftovers(home, home + BytesOf(folio->order));
  (void)SpaceOf(*region).Wake(home, BytesOf(folio->order));
  return false;
}

}  // namespace farswap::pager

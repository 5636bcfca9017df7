// FaultPath: pages that cannot be had.
#include <string>

#include "client/pager/fault_path.h"
#include "common/log_raw.h"

namespace farswap::pager {
namespace {

// For a line of the log.
std::string OfProcess(const Mm& mm) {
  const int pid = mm.pid.load(std::memory_order_relaxed);
  return pid == 0 ? "" : " of process " + std::to_string(pid);
}

}  // namespace

FaultPath::Turn FaultPath::Unfetched(Service* service, const absl::Status& why,
                                     Read* read) {
  if (!WaitsOn(service, why)) {
    Fail(service, why, read);
    return Turn::kDone;
  }
  GiveUp(service, read);
  return Turn::kAgain;
}

bool FaultPath::WaitsOn(Service* service, const absl::Status& why) {
  static LogLimiter limiter(60);
  // What is lost does not come back, however long one waits.
  if (service->region->fail_policy() != FailPolicy::kWait ||
      !absl::IsDeadlineExceeded(why)) {
    return false;
  }
  const std::string reason(why.message());
  const SteadyTime now = std::chrono::steady_clock::now();
  service->deadline = now + shared_.fault_deadline;
  service->error = absl::OkStatus();
  if (!service->fault.overdue) shared_.counters.faults_overdue.Add();
  service->fault.overdue = true;
  uint64_t suppressed = 0;
  if (limiter.Allow(&suppressed)) {
    LogRaw(LogLevel::kWarning,
           "page %p is waited for since %lld s, as its region's policy is: %s "
           "(%llu more since the last such line)",
           static_cast<void*>(service->region->AddressOf(service->page)),
           static_cast<long long>((now - service->fault.start) /
                                  std::chrono::seconds(1)),
           reason.c_str(), static_cast<unsigned long long>(suppressed));
  }
  return true;
}

void FaultPath::Fail(Service* service, const absl::Status& why, Read* read) {
  static LogLimiter limiter(1);
  char* const at = service->region->AddressOf(service->page);
  uint64_t lost = 0;
  {
    MutexLock lock(shared_.LockOf(service->region, service->page));
    if (read != nullptr) DetachLocked(read, service->again);
    if (!SpaceOf(*service->region).IsGone()) lost = LoseLocked(service, why);
  }
  if (read != nullptr) Release(service, read);
  if (lost == 0) return;
  uint64_t suppressed = 0;
  if (limiter.Allow(&suppressed)) {
    LogRaw(LogLevel::kError,
           "page %p%s is lost: %s (%llu more since the last such line)",
           static_cast<void*>(at), OfProcess(*service->region->mm()).c_str(),
           std::string(why.message()).c_str(),
           static_cast<unsigned long long>(suppressed));
  }
}

uint64_t FaultPath::LoseLocked(Service* service, const absl::Status& why) {
  Region* const region = service->region;
  char* const at = region->AddressOf(service->page);
  const PageWord word = region->map().Get(service->page);
  if (region->dead()) {
    WakeFault(service->fault);
    return 0;
  }
  switch (word.kind()) {
    case PageWord::Kind::kPoisoned:  // Another was faster, and counted it.
      PoisonOrWake(&SpaceOf(*region), at, kPageBytes);
      return 0;
    case PageWord::Kind::kSwap:
      return LoseSwapLocked(service, word, why);
    case PageWord::Kind::kFolio:
      if (SpaceOf(*region).IsPresent(at)) {  // Another was faster.
        (void)SpaceOf(*region).Wake(at, kPageBytes);
        return 0;
      }
      // It vanished. It stays its folio's, which stays resident for good.
      DeclareLost(*service, why, 1);
      break;
    default:
      DeclareLost(*service, why, 1);
      region->map().Set(service->page, 0,
                        PageWord(PageWord::Kind::kPoisoned, 0));
  }
  PoisonOrWake(&SpaceOf(*region), at, kPageBytes);
  return 1;
}

uint64_t FaultPath::LoseSwapLocked(Service* service, PageWord word,
                                   const absl::Status& why) {
  PageMap& map = service->region->map();
  core::SwapEntry entry = word.entry();
  uint64_t page = service->page;
  int order = 0;
  const Grace::Hold hold(&shared_.grace);
  if (core::Folio* const folio = shared_.swap.SwapCacheGetFolio(entry)) {
    // Another worker reads it, or its bytes are in staging: unless they cannot
    // be mapped, the next fault finds them.
    bool hopeless = !absl::IsDeadlineExceeded(why);
    {
      const OtherLock lock(&shared_, folio,
                           shared_.LockOf(service->region, page));
      hopeless = hopeless && lock.owned() && !folio->reading;
    }
    shared_.folios.Put(folio);
    if (!hopeless) {
      WakePages(*service->region, page, 1);
      return 0;
    }
  } else {
    // What is verified as one is lost as one.
    order = shared_.swap.PartOrder(entry);
    const uint64_t first = AlignDown(page, PagesOf(order));
    const core::SwapEntry head = entry.AlignedTo(order);
    if (page - first == entry.raw() - head.raw() &&
        map.IsSwapRun(first, order, head)) {
      page = first;
      entry = head;
    } else {
      order = 0;
    }
  }
  DeclareLost(*service, why, PagesOf(order));
  shared_.swap.PutEntries(entry, PagesOf(order), service->region->group());
  shared_.counters.remote_pages.Sub(PagesOf(order));
  map.Set(page, order, PageWord(PageWord::Kind::kPoisoned, 0));
  PoisonPages(*service->region, page, PagesOf(order));
  return PagesOf(order);
}

void FaultPath::DeclareLost(const Service& service, const absl::Status& why,
                            uint64_t pages) {
  if (service.region->fail_policy() == FailPolicy::kAbort) {
    DieRaw("page %p is lost and its region's policy is to abort: %s",
           static_cast<void*>(service.region->AddressOf(service.page)),
           std::string(why.message()).c_str());
  }
  // Before anyone can see the SIGBUS.
  shared_.counters.faults_failed.Add();
  shared_.counters.pages_lost.Add(pages);
}

void FaultPath::PoisonPages(const Region& region, uint64_t page,
                            uint64_t pages) {
  for (uint64_t at = page; at < page + pages;) {
    const uint64_t run = region.RunAt(at, page + pages - at);
    PoisonOrWake(&SpaceOf(region), region.AddressOf(at), run * kPageBytes);
    at += run;
  }
}

void FaultPath::WakePages(const Region& region, uint64_t page, uint64_t pages) {
  for (uint64_t at = page; at < page + pages;) {
    const uint64_t run = region.RunAt(at, page + pages - at);
    (void)SpaceOf(region).Wake(region.AddressOf(at), run * kPageBytes);
    at += run;
  }
}

void FaultPath::PoisonOrWake(AddressSpace* space, char* at, size_t bytes) {
  const OpResult result = space->Poison(at, bytes);
  // Who waits faults again, and is answered by poison again.
  if (!result.ok()) {
    (void)space->Wake(at + result.done, bytes - result.done);
  }
}

}  // namespace farswap::pager

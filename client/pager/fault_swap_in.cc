// FaultPath: pages that are in a slot, or on their way to one.
#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/pager/fault_path.h"

namespace farswap::pager {
namespace {

// Hashes a folio part by part as it arrives: while it is in the processor's
// cache that costs half.
class HashOnArrival final : public remote::GetSink {
 public:
  HashOnArrival(const char* bytes, int order, Content* content)
      : bytes_(bytes), part_bytes_(PartBytesOf(order)), content_(*content) {}

  void Filled(size_t from, size_t to) override {
    // The parts that end in what is new.
    for (size_t i = from / part_bytes_; (i + 1) * part_bytes_ <= to; ++i) {
      content_.parts[i] = HashPart(bytes_ + i * part_bytes_, part_bytes_);
    }
  }

 private:
  const char* const bytes_;
  const size_t part_bytes_;
  Content& content_;
};

}  // namespace

char* FaultPath::SmallBuffer() {
  static thread_local const auto buffer = std::make_unique<char[]>(kPartBytes);
  return buffer.get();
}

FaultPath::Turn FaultPath::FromStaging(Service* service, const Plan& plan) {
  Region* const region = service->region;
  const int order = std::bit_width(plan.orders) - 1;
  // Even past the limit: the bytes are local anyway, so by at most what
  // staging holds; and no server is needed to go on.
  region->group()->ForceCharge(PagesOf(order));
  uint64_t used = 0;      // Of the charge.
  char* spare = nullptr;  // Staging that nobody needs any more.
  bool done = false;
  {
    Mutex* const mu = shared_.LockOf(region, service->page);
    MutexLock lock(mu);
    const Grace::Hold hold(&shared_.grace);
    core::Folio* folio = nullptr;
    if (!region->dead() && region->map().Get(service->page) == plan.word) {
      folio = shared_.swap.SwapCacheGetFolio(plan.word.entry());
    }
    if (folio != nullptr) {
      const OtherLock folio_lock(&shared_, folio, mu);
      if (folio_lock.owned() && folio->order == order &&
          folio->staging != nullptr && !folio->mapped) {
        done = CopyStagedLocked(service, folio, &used, &spare);
      }
      shared_.folios.Put(folio);
    }
  }
  if (spare != nullptr) shared_.staging->Put(spare, order, /*filled=*/false);
  if (used < PagesOf(order)) {
    region->group()->Uncharge(PagesOf(order) - used);
  }
  if (!done) return Turn::kAgain;
  shared_.counters.swpin_cached.Add();
  return Turn::kDone;
}

bool FaultPath::CopyStagedLocked(Service* service, core::Folio* folio,
                                 uint64_t* used, char** spare) {
  Region* const region = service->region;
  const int order = folio->order;
  bool done = false;
  service->partial = false;
  if (RegionOf(folio) != region ||
      !region->map().IsSwapRun(folio->index, order, folio->entry) ||
      region->RunAt(folio->index, PagesOf(order)) < PagesOf(order)) {
    *used =
        InstallPagesLocked(service, folio->entry, order, folio->staging, &done);
    return done;
  }
  // A slice of the put may be out, so the pages stay where they are: COPY.
  const StageTimer timer(&shared_.counters.stages.install[order]);
  const OpResult result = SpaceOf(*region).CopyIn(
      region->AddressOf(folio->index), folio->staging, BytesOf(order));
  if (!InstalledLocked(service, folio, folio->staging, result,
                       /*adopt=*/false)) {
    if (service->partial) {
      *used = InstallPagesLocked(service, folio->entry, order, folio->staging,
                                 &done);
      service->partial = false;
    }
    return done;
  }
  *used = PagesOf(order);
  // It was kept, and charged for that already.
  *spare = reclaim_.UnkeepLocked(folio);
  if (*spare != nullptr) region->group()->Uncharge(PagesOf(order));
  // It was wanted before it had gone: the second chance.
  core::FolioArena::Get(folio);  // The page map's.
  MappedLocked(region, folio, /*active=*/true);
  if (order == kPmdOrder) {
    region->map().SetTable(folio->index / kPagesPerPmd, true);
  }
  shared_.swap.FolioPutSwap(folio);
  shared_.counters.remote_pages.Sub(PagesOf(order));
  LoseRefusedLocked(service, folio);
  return true;
}

FaultPath::Turn FaultPath::SwapIn(Service* service, Plan plan) {
  core::MemoryGroup* const group = service->region->group();
  if (!Charge(service, &plan.orders, /*frees_slots=*/true)) return Turn::kAgain;
  int charged = std::bit_width(plan.orders) - 1;
  Read read;
  if (charged == kPmdOrder) {
    read.block = shared_.staging->GetFilled();
    if (read.block.buffer == nullptr) {
      shared_.counters.swpin_fallback[kPmdOrder].Add();
      CountThpFallback(ThpFallback::kStaging);
      plan.orders &= ~(1u << kPmdOrder);
      charged = std::bit_width(plan.orders) - 1;
      group->Uncharge(kPagesPerPmd - PagesOf(charged));
    }
  }
  if (!Attach(service, plan, charged, &read)) return Turn::kAgain;
  if (service->pieces && !read.cache.zero) return SwapInAlong(service, &read);
  const absl::Status status = Fetch(service, &read);
  if (!status.ok()) return Unfetched(service, status, &read);
  return Install(service, &read);
}

bool FaultPath::Attach(Service* service, const Plan& plan, int charged,
                       Read* read) {
  Region* const region = service->region;
  core::MemoryGroup* const group = region->group();
  uint64_t held = PagesOf(charged);  // Charged, and no folio's yet.
  const auto alloc = [&](int order) -> core::Folio* {
    const uint64_t pages = PagesOf(order);
    // A larger folio that lost a race took its charge with it.
    if (held < pages && !group->TryCharge(pages - held)) return nullptr;
    held = std::max(held, pages);
    core::Folio* const folio = shared_.folios.Allocate(
        order, group, region, AlignDown(service->page, pages));
    if (folio != nullptr) held -= pages;
    return folio;
  };
  {
    MutexLock lock(shared_.LockOf(region, service->page));
    const PageWord block = region->map().GetBlock(service->page / kPagesPerPmd);
    const bool holds =
        region->map().Get(service->page) == plan.word &&
        (charged < kPmdOrder || block.kind() == PageWord::Kind::kSwap);
    if (holds) {
      read->cache = shared_.swap.SwapCacheAllocFolio(plan.word.entry(),
                                                     plan.orders, alloc);
      read->folio = read->cache.folio;
      CountAttach(plan, read->cache);
    }
    if (read->folio != nullptr) {
      read->grant = shared_.swap.GrantOf(read->folio->entry);
      shared_.swap.GetSums(
          read->folio->entry, read->folio->order,
          absl::MakeSpan(read->sums.data(), PartsOf(read->folio->order)));
    }
  }
  if (held > 0) group->Uncharge(held);
  const bool huge = read->folio != nullptr && read->folio->order == kPmdOrder;
  if (read->block.buffer != nullptr && !huge) {
    shared_.staging->PutReceived(read->block.buffer, Staging::Left::kAll);
    read->block = {};
  }
  read->bytes = huge ? read->block.buffer : SmallBuffer();
  return read->folio != nullptr;
}

absl::Status FaultPath::Fetch(Service* service, Read* read) {
  core::Folio* const folio = read->folio;
  const size_t bytes = BytesOf(folio->order);
  if (read->cache.zero) {
    std::memset(read->bytes, 0, bytes);
    shared_.counters.swpin_zero.Add();
    return absl::OkStatus();
  }
  const remote::FolioRef ref{read->grant, folio->entry.slot(), folio->order};
  absl::Status status;
  // Once more after a wrong sum: the wire may have been at fault.
  for (int attempt = 0; attempt < 2; ++attempt) {
    HashOnArrival sink(read->bytes, folio->order, &read->content);
    {
      const StageTimer timer(&shared_.counters.stages.rpc[folio->order]);
      status = shared_.transport->Get(absl::MakeConstSpan(&ref, 1),
                                      absl::MakeSpan(read->bytes, bytes),
                                      service->deadline, &sink);
    }
    if (absl::IsDataLoss(status)) {
      shared_.swap.RetireCluster(folio->entry.cluster());
    }
    if (!status.ok()) return status;
    status = Verify(read);
    if (status.ok()) break;
    shared_.counters.checksum_errors.Add();
  }
  if (status.ok()) CountFetched(*read);
  return status;
}

void FaultPath::CountFetched(const Read& read) const {
  shared_.counters.swpin[read.folio->order].Add();
  shared_.counters.swpin_bytes.Add(BytesOf(read.folio->order));
  shared_.counters.refaults.Add();
}

absl::Status FaultPath::Verify(Read* read) const {
  const core::Folio* const folio = read->folio;
  const StageTimer timer(&shared_.counters.stages.verify[folio->order]);
  CombineParts(&read->content, folio->order);
  const Sums sums =
      SumsOf(read->content, read->grant, folio->entry.slot(), folio->order);
  for (uint32_t i = 0; i < PartsOf(folio->order); ++i) {
    if (sums[i] == read->sums[i]) continue;
    return absl::DataLossError(absl::StrCat(
        "part ", i, " of cluster ", read->grant.cluster, " slot ",
        folio->entry.slot(), " has another checksum than was stored"));
  }
  return absl::OkStatus();
}

FaultPath::Turn FaultPath::Install(Service* service, Read* read) {
  Region* const region = service->region;
  core::Folio* const folio = read->folio;
  const int order = folio->order;
  bool done = false;
  bool whole = true;
  bool in_part = false;
  uint64_t installed = 0;  // In part.
  Staging::Left left = Staging::Left::kAll;
  std::vector<Waiter> served;  // Allocates only if some relied on this.
  {
    MutexLock lock(shared_.LockOf(region, folio->index));
    whole = region->dead() ||
            (region->map().IsSwapRun(folio->index, order, folio->entry) &&
             region->IsWhole(folio->index, order));
    service->partial = false;
    if (!region->dead() && whole) {
      const StageTimer timer(&shared_.counters.stages.install[order]);
      char* const home = region->AddressOf(folio->index);
      const OpResult result =
          order == kPmdOrder
              ? MoveBlockLocked(region, folio->index, read->bytes)
              : SpaceOf(*region).CopyIn(home, read->bytes, BytesOf(order));
      left = shared_.staging->LeftAfter(result);
      done = InstalledLocked(service, folio, read->bytes, result,
                             /*adopt=*/false);
    }
    if (done) InstalledWholeLocked(service, read, &served);
    in_part = !done && ((!whole && order < kPmdOrder) || service->partial);
    if (in_part) installed = InstallInPartLocked(service, read, &done);
  }
  if (in_part) {
    if (order == kPmdOrder) shared_.staging->PutReceived(read->bytes, left);
    region->group()->Uncharge(PagesOf(order) - installed);
    shared_.folios.Put(folio);
    return done ? Turn::kDone : Turn::kAgain;
  }
  if (!done && !service->error.ok()) {
    // In one step: who is woken before the page is lost would try in vain.
    Fail(service, service->error, read);
    return Turn::kDone;
  }
  if (!done) {
    Abandon(service, read);
    return Turn::kAgain;
  }
  if (order == kPmdOrder) {
    shared_.staging->PutReceived(read->bytes, left);
  }
  for (const Waiter& waiter : served) {
    CountLatency(waiter);
    // It has its own copy to get, now or later.
    if (waiter.mm != region->mm()) WakeFault(waiter);
  }
  // Of smaller ones, who waits is no step of a stream: it will go past.
  if (service->ahead && order == kPmdOrder && !served.empty()) {
    shared_.counters.swap_ra_hit.Add();
  }
  return Turn::kDone;
}

void FaultPath::InstalledWholeLocked(Service* service, Read* read,
                                     std::vector<Waiter>* served) {
  Region* const region = service->region;
  core::Folio* const folio = read->folio;
  const int order = folio->order;
  folio->reading = false;
  waiters_.Take(folio->id, served);
  folio->stored = true;
  folio->hash = read->content.hash;
  const bool active = region->group()->Refault(read->cache.age, PagesOf(order),
                                               /*was_active=*/false);
  MappedLocked(region, folio, active);
  shared_.counters.remote_pages.Sub(PagesOf(order));
  shared_.swap.FolioPutSwap(folio);
  // Slots are scarce: the copy is given up for them.
  if (reclaim_.swap_full() || region->group()->IsSwapFull()) {
    shared_.swap.FolioFreeSwap(folio);
  }
  if (order == kPmdOrder) CountBlockLocked(region, folio->index);
  LoseRefusedLocked(service, folio);
}

uint64_t FaultPath::InstallInPartLocked(Service* service, Read* read,
                                        bool* done) {
  Region* const region = service->region;
  const core::Folio* const folio = read->folio;
  uint64_t installed = 0;
  if (!region->dead() && region->map().Get(service->page) == service->word) {
    installed = InstallPagesLocked(service, folio->entry, folio->order,
                                   read->bytes, done);
  }
  service->partial = false;
  // Who relied on it may have wanted a page that is not the map's any more.
  DetachLocked(read, service->again);
  return installed;
}

void FaultPath::Abandon(Service* service, Read* read) {
  const uint64_t first = read->folio->index;
  const int order = read->folio->order;
  std::vector<Waiter> relied;
  {
    MutexLock lock(shared_.LockOf(service->region, read->folio->index));
    DetachLocked(read, &relied);
  }
  Release(service, read);
  // Servers answer, so they may as well start anew, all at once.
  WakePages(*service->region, first, PagesOf(order));
  for (const Waiter& waiter : relied) {
    WakeFault(waiter);
  }
}

void FaultPath::GiveUp(Service* service, Read* read) {
  {
    MutexLock lock(shared_.LockOf(service->region, read->folio->index));
    DetachLocked(read, service->again);
  }
  Release(service, read);
}

void FaultPath::DetachLocked(Read* read, std::vector<Waiter>* relied) {
  read->folio->reading = false;
  waiters_.Take(read->folio->id, relied);
  shared_.swap.SwapCacheDelFolio(read->folio, read->cache.age);
}

void FaultPath::Release(Service* service, Read* read) {
  core::Folio* const folio = read->folio;
  const int order = folio->order;
  if (order == kPmdOrder) {
    shared_.staging->PutReceived(read->bytes, Staging::Left::kAll);
  }
  service->region->group()->Uncharge(PagesOf(order));
  shared_.folios.Put(folio);
}

}  // namespace farswap::pager

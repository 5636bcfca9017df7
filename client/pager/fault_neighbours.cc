// FaultPath: a stream through a block that is in pieces. What follows the
// folio of the fault in the block comes with it, in the same RPC.
#include <bit>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "client/pager/fault_path.h"

namespace farswap::pager {

// A folio that comes with another.
struct FaultPath::Neighbour {
  Service service;
  Read read;
};

FaultPath::Turn FaultPath::SwapInAlong(Service* service, Read* first) {
  std::vector<Neighbour> neighbours = AttachAlong(service, *first);
  // For the bytes of all; uninitialised, and most workers never need one.
  std::unique_ptr<char[]> bytes;
  absl::Status status = absl::UnavailableError("nothing else is wanted");
  if (!neighbours.empty())
    status = FetchAlong(service, first, &neighbours, &bytes);
  if (!status.ok()) {
    // One of them is lost, or its server slow: by itself the first may do.
    for (Neighbour& n : neighbours) DropNeighbour(&n);
    neighbours.clear();
    first->bytes = SmallBuffer();
    status = Fetch(service, first);
  }
  // First what somebody waits for.
  const Turn turn =
      status.ok() ? Install(service, first) : Unfetched(service, status, first);
  for (Neighbour& n : neighbours) InstallNeighbour(&n);
  return turn;
}

std::vector<FaultPath::Neighbour> FaultPath::AttachAlong(Service* service,
                                                         const Read& first) {
  std::vector<Neighbour> found;
  const core::Folio& folio = *first.folio;
  const int along = service->stream->along;
  const uint64_t block = AlignDown(service->page, kPagesPerPmd);
  // The next page on that side.
  uint64_t page =
      along > 0 ? folio.index + PagesOf(folio.order) : folio.index - 1;
  while (found.size() + 1 < FaultSize::kPartsAlong &&
         AlignDown(page, kPagesPerPmd) == block) {
    std::optional<Neighbour> next =
        AttachNeighbour(*service, first.grant.session, page);
    if (!next) break;
    const core::Folio& other = *next->read.folio;
    page = along > 0 ? other.index + PagesOf(other.order) : other.index - 1;
    found.push_back(*std::move(next));
  }
  return found;
}

std::optional<FaultPath::Neighbour> FaultPath::AttachNeighbour(
    const Service& service, uint32_t session, uint64_t page) {
  Region* const region = service.region;
  Plan plan;
  {
    MutexLock lock(shared_.LockOf(region, page));
    plan.word = region->map().Get(page);
    if (region->dead() || plan.word.kind() != PageWord::Kind::kSwap) return {};
    plan.orders = 1u << shared_.swap.PartOrder(plan.word.entry());
  }
  const int order = std::bit_width(plan.orders) - 1;
  // Under pressure nothing comes that nobody waits for.
  if (!reclaim_.TryCharge(region->group(), PagesOf(order))) return {};
  Neighbour next;
  next.service.region = region;
  next.service.page = page;
  next.service.word = plan.word;
  next.service.fault.fault.address = region->AddressOf(page);
  next.service.fault.start = service.fault.start;
  next.service.deadline = service.deadline;
  next.service.again = service.again;
  next.service.ahead = true;
  if (!Attach(&next.service, plan, order, &next.read)) return {};
  // Of zeros nothing is fetched; and one session's trouble is not another's.
  if (!next.read.cache.zero && next.read.grant.session == session) return next;
  DropNeighbour(&next);
  return {};
}

absl::Status FaultPath::FetchAlong(Service* service, Read* first,
                                   std::vector<Neighbour>* neighbours,
                                   std::unique_ptr<char[]>* bytes) {
  std::vector<Read*> reads = {first};
  for (Neighbour& n : *neighbours) reads.push_back(&n.read);
  std::vector<remote::FolioRef> refs;
  size_t size = 0;
  for (const Read* read : reads) {
    refs.push_back(
        {read->grant, read->folio->entry.slot(), read->folio->order});
    size += BytesOf(read->folio->order);
  }
  *bytes = std::make_unique_for_overwrite<char[]>(size);
  {
    const StageTimer timer(&shared_.counters.stages.rpc[first->folio->order]);
    const absl::Status status = shared_.transport->Get(
        refs, absl::MakeSpan(bytes->get(), size), service->deadline, nullptr);
    if (!status.ok()) return status;
  }
  char* at = bytes->get();
  for (Read* read : reads) {
    read->bytes = at;
    read->content = HashContent(at, read->folio->order);
    at += BytesOf(read->folio->order);
  }
  const absl::Status status = Verify(first);
  if (status.ok()) {
    CountFetched(*first);
  } else {
    shared_.counters.checksum_errors.Add();
  }
  return status;
}

void FaultPath::InstallNeighbour(Neighbour* neighbour) {
  Read* const read = &neighbour->read;
  if (!Verify(read).ok()) {
    shared_.counters.checksum_errors.Add();
    return DropNeighbour(neighbour);
  }
  CountFetched(*read);
  shared_.counters.swap_ra.Add();
  Install(&neighbour->service, read);
}

void FaultPath::DropNeighbour(Neighbour* neighbour) {
  // Nothing is lost: who came to wait finds out himself.
  {
    MutexLock lock(
        shared_.LockOf(neighbour->service.region, neighbour->service.page));
    DetachLocked(&neighbour->read, neighbour->service.again);
  }
  Release(&neighbour->service, &neighbour->read);
}

}  // namespace farswap::pager

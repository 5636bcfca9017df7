// FaultPath: a stream through a block that is in pieces. What follows the
// folio of the fault in the block comes with it, in the same RPC.
#include <algorithm>
#include <bit>
#include <chrono>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "client/pager/fault_path.h"

namespace farswap::pager {
namespace {

// For all of them together; what is left of the fault's deadline is for its
// own folio, alone. A server that takes longer is not asked for the others.
constexpr std::chrono::seconds kAlongWait{2};
// For what is here already: nobody's deadline is a reason to lose it.
constexpr std::chrono::seconds kInstallWait{1};

SteadyTime AlongDeadline(SteadyTime deadline) {
  const SteadyTime now = std::chrono::steady_clock::now();
  return std::min(now + (deadline - now) / 2, now + kAlongWait);
}

}  // namespace

// A folio that comes with another.
struct FaultPath::Neighbour {
  Service service;
  Read read;
};

FaultPath::Turn FaultPath::SwapInAlong(Service* service, Read* first) {
  std::vector<Neighbour> neighbours = AttachAlong(service, *first);
  // For the bytes of all; uninitialised, and most workers never need one.
  std::unique_ptr<char[]> bytes;
  absl::Status status;
  if (neighbours.empty() || !FetchAlong(service, first, &neighbours, &bytes)) {
    // One of them is lost, or its server slow: by itself the first may do; and
    // of the others nothing is lost, who came to wait finds out himself.
    for (Neighbour& n : neighbours) GiveUp(&n.service, &n.read);
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
  const int along = service->stream->along;
  const uint64_t block = AlignDown(service->page, kPagesPerPmd);
  uint64_t page = NextAlong(first.folio->index, first.folio->order, along);
  while (found.size() + 1 < service->stream->parts &&
         AlignDown(page, kPagesPerPmd) == block) {
    std::optional<Neighbour> next =
        AttachNeighbour(*service, first.grant.session, page);
    if (!next) break;
    const core::Folio& other = *next->read.folio;
    page = NextAlong(other.index, other.order, along);
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
  next.service = Unasked(region, page, service.fault.start, service.deadline,
                         service.again);
  next.service.word = plan.word;
  if (!Attach(&next.service, plan, order, &next.read)) return {};
  // Of zeros nothing is fetched; and one session's trouble is not another's.
  if (!next.read.cache.zero && next.read.grant.session == session) return next;
  GiveUp(&next.service, &next.read);
  return {};
}

bool FaultPath::FetchAlong(Service* service, Read* first,
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
    const absl::Status status =
        shared_.transport->Get(refs, absl::MakeSpan(bytes->get(), size),
                               AlongDeadline(service->deadline), nullptr);
    if (!status.ok()) return false;
  }
  char* at = bytes->get();
  for (Read* read : reads) {
    read->bytes = at;
    read->content = HashContent(at, read->folio->order);
    at += BytesOf(read->folio->order);
  }
  const bool good = Verify(first).ok();
  if (good) {
    CountFetched(*first);
  } else {
    shared_.counters.checksum_errors.Add();
  }
  return good;
}

void FaultPath::InstallNeighbour(Neighbour* neighbour) {
  Read* const read = &neighbour->read;
  if (!Verify(read).ok()) {
    shared_.counters.checksum_errors.Add();
    return GiveUp(&neighbour->service, read);
  }
  CountFetched(*read);
  Service* const service = &neighbour->service;
  CountAhead(*service);
  service->deadline = std::max(service->deadline,
                               std::chrono::steady_clock::now() + kInstallWait);
  Install(service, read);
}

}  // namespace farswap::pager

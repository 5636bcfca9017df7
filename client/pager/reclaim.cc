#include "client/pager/reclaim.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "client/pager/thread.h"

namespace farswap::pager {
namespace {

// How long one attempt waits for progress before it looks again at what it was
// asked for. Long enough to see a 2 MiB put done (about 1 ms).
constexpr std::chrono::milliseconds kMoment{2};
// Folios that would not go (pinned, being written), before an attempt ends.
constexpr int kMaxSkips = 32;
// How far past its limit a group may go, when no slot is free, to bring folios
// in whose slots can then be used to take others out: a few blocks at a time.
constexpr uint64_t kOverPages = 4 * kPagesPerPmd;

SteadyTime Now() { return std::chrono::steady_clock::now(); }

// Whether neither the group nor one above it is further past its limit.
bool IsNearLimits(const core::MemoryGroup& group) {
  const core::MemoryGroup* at = &group;
  while (at != nullptr && at->usage() <= at->limit() + kOverPages) {
    at = at->parent();
  }
  return at == nullptr;
}

}  // namespace

Reclaim::Reclaim(Shared* shared, std::function<void()> chores)
    : shared_(*shared),
      chores_(std::move(chores)),
      clusters_(shared),
      take_out_(
          shared, &clusters_, [this] { Progress(); }, [this] { Kick(); }) {}

Reclaim::~Reclaim() { Stop(); }

absl::Status Reclaim::Start() {
  std::optional<std::thread> thread =
      StartThread("farswap-reclaim", [this] { Run(); });
  if (!thread) {
    return absl::ResourceExhaustedError(
        "the system has no thread left for reclaim: see ulimit -u and the "
        "cgroup's pids.max");
  }
  thread_ = std::move(*thread);
  return absl::OkStatus();
}

void Reclaim::Stop() {
  stop_.store(true, std::memory_order_release);
  Kick();
  if (thread_.joinable()) thread_.join();
}

void Reclaim::AddGroup(std::shared_ptr<core::MemoryGroup> group) {
  MutexLock lock(&mu_);
  groups_.push_back(std::move(group));
}

void Reclaim::RemoveGroup(const core::MemoryGroup* group) {
  MutexLock lock(&mu_);
  std::erase_if(groups_, [&](const auto& g) { return g.get() == group; });
}

bool Reclaim::Charge(core::MemoryGroup* group, uint64_t pages, SteadyTime until,
                     bool frees_slots) {
  for (;;) {
    core::MemoryGroup* over = group;  // Or one above it.
    if (TryCharge(group, pages, &over)) return true;
    if (stop_.load(std::memory_order_acquire)) return false;
    // What is kept goes without I/O.
    const bool taken = take_out_.DropKept(over, pages) > 0 ||
                       TakeOutOf(over, pages, until) > 0;
    const bool full = clusters_.full() || group->SwapRoom() < kPagesPerPmd;
    if (!taken && frees_slots && full && IsNearLimits(*group)) {
      group->ForceCharge(pages);
      return true;
    }
    // Others may have charged what this thread took out.
    if (Now() >= until) return group->TryCharge(pages);
    if (!taken) WaitForProgress(std::min(until, Now() + kMoment));
  }
}

bool Reclaim::TryCharge(core::MemoryGroup* group, uint64_t pages,
                        core::MemoryGroup** over) {
  const bool charged = group->TryCharge(pages, over);
  if (!charged || group->NeedsReclaim() != nullptr) Kick();
  return charged;
}

uint64_t Reclaim::TakeOutOf(core::MemoryGroup* group, uint64_t pages,
                            SteadyTime until) {
  const Grace::Hold hold(&shared_.grace);
  uint64_t taken = 0;
  for (int skips = 0; taken < pages && skips < kMaxSkips;) {
    std::vector<core::Folio*> victims;
    if (group->LruIsolate(1, &victims) == 0) break;
    const TakeOut::Step step =
        take_out_.Run(victims.front(), until, &taken, /*keep=*/true);
    if (step == TakeOut::Step::kNoRoom) break;
    if (step == TakeOut::Step::kSkipped) ++skips;
  }
  return taken;
}

bool Reclaim::Cut(Region* region, uint64_t page) {
  const Grace::Hold hold(&shared_.grace);
  uint64_t pages = 0;
  core::Folio* const folio = Isolate(region, page, &pages);
  return folio != nullptr && take_out_.Cut(folio);
}

uint64_t Reclaim::TakeOutRange(Region* region, uint64_t first, uint64_t end) {
  const SteadyTime until = Now() + shared_.fault_deadline;
  take_out_.DropKeptOf(region);
  uint64_t taken = 0;
  for (uint64_t page = first; page < end;) {
    const Grace::Hold hold(&shared_.grace);
    uint64_t pages = 1;
    core::Folio* const folio = Isolate(region, page, &pages);
    TakeOut::Step step = TakeOut::Step::kSkipped;
    if (folio != nullptr) {
      step = take_out_.Run(folio, until, &taken, /*keep=*/false);
    }
    if (step == TakeOut::Step::kNoRoom) {
      if (Now() >= until) break;
      WaitForProgress(Now() + kMoment);
      continue;
    }
    page += pages;
  }
  return taken;
}

core::Folio* Reclaim::Isolate(Region* region, uint64_t page, uint64_t* pages) {
  MutexLock lock(shared_.LockOf(region, page));
  const PageWord word = region->map().Get(page);
  if (word.kind() == PageWord::Kind::kFolio) {
    core::Folio* const folio =
        shared_.folios.At(static_cast<core::FolioId>(word.value()));
    *pages = folio->index + PagesOf(folio->order) - page;
    return folio->group->LruIsolateFolio(folio) ? folio : nullptr;
  }
  const PageWord block = region->map().GetBlock(page / kPagesPerPmd);
  *pages = block.kind() == PageWord::Kind::kLeaf
               ? 1
               : kPagesPerPmd - page % kPagesPerPmd;
  return nullptr;
}

void Reclaim::Run() {
  tid_.store(gettid(), std::memory_order_release);
  while (!stop_.load(std::memory_order_acquire)) {
    {
      MutexLock lock(&mu_);
      const SteadyTime until = Now() + std::chrono::seconds(1);
      while (!kicked_ && work_.WaitUntil(&mu_, until)) {
      }
      kicked_ = false;
    }
    Background();
  }
}

void Reclaim::Background() {
  ReclaimGroups();
  chores_();
  take_out_.RehomeAll();
  clusters_.Balance();
  shared_.graves.Reap(&shared_.grace);
}

void Reclaim::ReclaimGroups() {
  std::vector<std::shared_ptr<core::MemoryGroup>> groups;
  {
    MutexLock lock(&mu_);
    groups = groups_;
  }
  for (const auto& group : groups) {
    const uint64_t target = group->ReclaimTarget();
    if (target == 0) continue;
    // In pieces, so that each group gets its turn; the rest is asked for
    // again once staging is free.
    const uint64_t pages = std::min<uint64_t>(target, kPagesPerPmd);
    // Before: the next put may be done while none will go yet.
    stalled_.store(true, std::memory_order_release);
    // None would go: for want of staging, perhaps, which kept ones hold.
    if (TakeOutOf(group.get(), pages, SteadyTime::max()) > 0 ||
        take_out_.DropKept(group.get(), kPagesPerPmd) > 0) {
      Kick();
    }
  }
}

void Reclaim::Kick() {
  MutexLock lock(&mu_);
  kicked_ = true;
  work_.Signal();
}

void Reclaim::Progress() {
  MutexLock lock(&mu_);
  // What stalled for want of staging, or of a put's place, may go on.
  if (stalled_.exchange(false, std::memory_order_acq_rel)) {
    kicked_ = true;
    work_.Signal();
  }
  progress_.SignalAll();
}

void Reclaim::WaitForProgress(SteadyTime until) {
  MutexLock lock(&mu_);
  progress_.WaitUntil(&mu_, until);
}

}  // namespace farswap::pager

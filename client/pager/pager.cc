#include "client/pager/pager.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "client/pager/fault_path.h"
#include "client/pager/forget.h"
#include "client/pager/hints.h"
#include "client/pager/map_changes.h"
#include "client/pager/mapping.h"
#include "client/pager/reclaim.h"
#include "client/pager/shared.h"
#include "client/pager/uffd.h"
#include "client/pager/workers.h"
#include "common/log_raw.h"

namespace farswap::pager {
namespace {

absl::Status CheckLimit(uint64_t limit_bytes) {
  if (limit_bytes >= kMinGroupBytes) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("a local limit of ", limit_bytes,
                   " bytes makes no progress; give at least ",
                   kMinGroupBytes >> 20, " MiB"));
}

// For the goodbyes at the end: giving clusters back, closing the session.
constexpr std::chrono::seconds kShutdownWait{2};
// For a change of the map that has happened to be told: the reader never waits.
constexpr std::chrono::seconds kVacateWait{10};

}  // namespace

class Pager::Impl final : public Workers::Handler {
 public:
  absl::Status Init(const PagerOptions& options,
                    std::unique_ptr<remote::Transport> transport,
                    const Wrap& wrap);
  void Shutdown();

  absl::StatusOr<Group*> CreateGroup(uint64_t limit_bytes, Group* parent);
  absl::Status DestroyGroup(Group* group);
  absl::Status SetGroupLimit(Group* group, uint64_t limit_bytes);
  absl::Status SetGroupSwapLimit(Group* group, uint64_t limit_bytes);
  absl::StatusOr<Region*> CreateRegion(Group* group,
                                       const RegionOptions& options);
  absl::Status DestroyRegion(Region* region);
  absl::StatusOr<uint64_t> PageOut(Region* region);
  Hints& hints() { return *hints_; }
  PagerStats Stats() const;
  bool IsIdle() const;
  void CheckInvariants() const;

 private:
  void Serve(const Fault& fault, SteadyTime read_at) override;
  void QueueChange(const MapEvent& change) override { changes_->Queue(change); }
  void ApplyChanges() override { changes_->Apply(); }
  [[noreturn]] void DieOfOwnFault(const Fault& fault) const;
  std::shared_ptr<Group> FindGroup(const Group* group);
  std::shared_ptr<Group> FindGroupLocked(const Group* group)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Nothing that the program did to the region's map is to be told.
  bool IsSettled(const Region* region) const;

  std::unique_ptr<Uffd> uffd_;
  std::unique_ptr<AddressSpace> wrapped_;  // Null unless a test asked.
  Shared shared_;
  std::unique_ptr<MapChanges> changes_;
  std::unique_ptr<Reclaim> reclaim_;
  std::unique_ptr<FaultPath> faults_;
  std::unique_ptr<Hints> hints_;
  std::unique_ptr<Workers> workers_;
  std::vector<int> transport_tids_;

  mutable Mutex mu_;
  std::vector<std::shared_ptr<Group>> groups_ ABSL_GUARDED_BY(mu_);
};

absl::Status Pager::Impl::Init(const PagerOptions& options,
                               std::unique_ptr<remote::Transport> transport,
                               const Wrap& wrap) {
  absl::StatusOr<std::unique_ptr<Uffd>> uffd = Uffd::Create();
  if (!uffd.ok()) return uffd.status();
  uffd_ = std::move(*uffd);
  if (wrap) wrapped_ = wrap(uffd_.get());
  shared_.space = wrap ? wrapped_.get() : uffd_.get();
  absl::StatusOr<std::unique_ptr<Staging>> staging = Staging::Create(
      options.staging_bytes, shared_.space,
      [&](char* at, size_t bytes) { return uffd_->Register(at, bytes); });
  if (!staging.ok()) return staging.status();
  shared_.staging = std::move(*staging);
  shared_.fault_deadline = options.fault_deadline;
  shared_.transport = std::move(transport);
  changes_ = std::make_unique<MapChanges>(&shared_);
  reclaim_ = std::make_unique<Reclaim>(&shared_, changes_.get());
  faults_ =
      std::make_unique<FaultPath>(&shared_, reclaim_.get(), changes_.get());
  hints_ = std::make_unique<Hints>(&shared_, reclaim_.get(), faults_.get());
  workers_ = std::make_unique<Workers>(uffd_.get(), this);
  transport_tids_ = shared_.transport->ThreadIds();
  absl::Status started = reclaim_->Start();
  if (started.ok()) started = faults_->ahead().Start();
  if (started.ok()) started = hints_->Start();
  return started.ok() ? workers_->Start() : started;
}

void Pager::Impl::Shutdown() {
  if (workers_ == nullptr) return;
  // Puts first: they end waits for staging, and hold folios.
  shared_.transport->Shutdown(std::chrono::steady_clock::now() + kShutdownWait);
  shared_.staging->Shutdown();
  faults_->ahead().Stop();
  hints_->Stop();
  reclaim_->Stop();
  // They use the transport.
  workers_->Drain();
  // Returns when the last put is done: it refers to staging and the tables.
  // Its zap of staging raises an event, which is still read.
  shared_.transport.reset();
  workers_->Stop();
  // Nobody reads any more.
  (void)uffd_->Unregister(shared_.staging->registered(),
                          shared_.staging->registered_bytes());
}

void Pager::Impl::Serve(const Fault& fault, SteadyTime read_at) {
  const int tid = static_cast<int>(fault.tid);
  const bool own = workers_->IsWorker(fault.tid) || tid == reclaim_->tid() ||
                   faults_->ahead().IsOwn(tid) || tid == hints_->tid() ||
                   absl::c_linear_search(transport_tids_, tid);
  if (own || shared_.staging->Holds(fault.address)) DieOfOwnFault(fault);
  faults_->Serve(fault, read_at);
}

void Pager::Impl::DieOfOwnFault(const Fault& fault) const {
  DieRaw(
      "thread %u faults at %p, in far memory or staging, where it must not: "
      "a bug in the library, or a program's callback on its threads",
      fault.tid, static_cast<void*>(fault.address));
}

absl::StatusOr<Group*> Pager::Impl::CreateGroup(uint64_t limit_bytes,
                                                Group* parent) {
  const absl::Status enough = CheckLimit(limit_bytes);
  if (!enough.ok()) return enough;
  // Held on, so that the group above does not go meanwhile.
  MutexLock lock(&mu_);
  const std::shared_ptr<Group> above = FindGroupLocked(parent);
  if (parent != nullptr && above == nullptr) {
    return absl::InvalidArgumentError("there is no such group to be below");
  }
  if (above != nullptr && above->depth() == Group::kMaxDepth) {
    return absl::InvalidArgumentError(absl::StrCat(
        "groups are at most ", Group::kMaxDepth, " deep: give one above"));
  }
  auto group =
      std::make_shared<Group>(&shared_.folios, limit_bytes / kPageBytes, above);
  reclaim_->AddGroup(group);
  groups_.push_back(group);
  return group.get();
}

absl::Status Pager::Impl::DestroyGroup(Group* group) {
  if (FindGroup(group) == nullptr) {
    return absl::InvalidArgumentError("there is no such group");
  }
  if (shared_.regions.HasGroup(group)) {
    return absl::FailedPreconditionError("a region of the group is left");
  }
  MutexLock lock(&mu_);
  if (absl::c_any_of(groups_,
                     [&](const auto& g) { return g->parent() == group; })) {
    return absl::FailedPreconditionError("a group below the group is left");
  }
  reclaim_->RemoveGroup(group);
  std::erase_if(groups_, [&](const auto& g) { return g.get() == group; });
  return absl::OkStatus();
}

absl::Status Pager::Impl::SetGroupLimit(Group* group, uint64_t limit_bytes) {
  const std::shared_ptr<Group> held = FindGroup(group);
  if (held == nullptr) {
    return absl::InvalidArgumentError("there is no such group");
  }
  const absl::Status enough = CheckLimit(limit_bytes);
  if (!enough.ok()) return enough;
  if (!held->TrySetLimit(limit_bytes / kPageBytes)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a local limit of ", limit_bytes, " bytes is too small beside the ",
        held->pinned() * kPageBytes, " that are pinned; unpin some, or give ",
        "8 MiB, or a sixteenth of it, more than they are"));
  }
  reclaim_->Kick();
  return absl::OkStatus();
}

absl::Status Pager::Impl::SetGroupSwapLimit(Group* group,
                                            uint64_t limit_bytes) {
  const std::shared_ptr<Group> held = FindGroup(group);
  if (held == nullptr) {
    return absl::InvalidArgumentError("there is no such group");
  }
  held->SetSwapLimit(limit_bytes == 0
                         ? Group::kNoLimit
                         : AlignUp(limit_bytes, kPageBytes) / kPageBytes);
  reclaim_->Kick();
  return absl::OkStatus();
}

std::shared_ptr<Group> Pager::Impl::FindGroup(const Group* group) {
  MutexLock lock(&mu_);
  return FindGroupLocked(group);
}

std::shared_ptr<Group> Pager::Impl::FindGroupLocked(const Group* group) {
  for (const auto& g : groups_) {
    if (g.get() == group) return g;
  }
  return nullptr;
}

absl::StatusOr<Region*> Pager::Impl::CreateRegion(
    Group* group, const RegionOptions& options) {
  const std::shared_ptr<Group> owner = FindGroup(group);
  if (owner == nullptr) {
    return absl::InvalidArgumentError("there is no such group");
  }
  // 47 bits of addresses, and room to align.
  if (options.bytes == 0 || options.bytes > (uint64_t{1} << 46)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a region of ", options.bytes, " bytes: give 1 byte to 64 TiB"));
  }
  const uint64_t bytes = AlignUp(options.bytes, kPmdBytes);
  char* const at = MapAligned(bytes);
  if (at == nullptr) {
    return absl::ResourceExhaustedError("no address space for the region");
  }
  // The addresses may be some that the program has just unmapped.
  const SteadyTime until = std::chrono::steady_clock::now() + kVacateWait;
  while (!shared_.regions.PiecesIn(at, at + bytes).empty() ||
         !shared_.space->Settled(at, bytes)) {
    if (std::chrono::steady_clock::now() > until) {
      munmap(at, bytes);
      return absl::UnavailableError("the region's addresses are not free yet");
    }
    std::this_thread::sleep_for(std::chrono::microseconds(50));
    changes_->Apply();
  }
  // Found before it faults.
  Region* const region =
      shared_.regions.Add(std::make_unique<Region>(at, bytes, owner, options));
  const absl::Status status = uffd_->Register(at, bytes);
  if (!status.ok()) {
    std::vector<RegionTable::Piece> pieces;
    shared_.regions.Remove(region, &pieces);
    munmap(at, bytes);
    return status;
  }
  return region;
}

bool Pager::Impl::IsSettled(const Region* region) const {
  return absl::c_all_of(
      shared_.regions.PiecesOf(region), [this](const auto& piece) {
        return shared_.space->Settled(piece.start, piece.pages() * kPageBytes);
      });
}

absl::Status Pager::Impl::DestroyRegion(Region* region) {
  if (shared_.regions.Hold(region) == nullptr) {
    return absl::InvalidArgumentError("there is no such region");
  }
  // What the program did to it before is done first, wherever it is.
  const SteadyTime until = std::chrono::steady_clock::now() + kVacateWait;
  while (!IsSettled(region) && std::chrono::steady_clock::now() < until) {
    changes_->Apply();
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
  std::vector<RegionTable::Piece> pieces;
  const std::shared_ptr<Region> dead = shared_.regions.Remove(region, &pieces);
  if (dead == nullptr) {
    return absl::InvalidArgumentError("there is no such region");
  }
  // Nobody finds it any more, and who found it before sees that it is dead.
  dead->Kill();
  shared_.locks.Barrier();
  reclaim_->DropKeptOf(dead.get());
  // The memory first, then its charge.
  for (const RegionTable::Piece& piece : pieces) {
    shared_.space->Unmap(piece.start,
                         static_cast<size_t>(piece.end - piece.start));
  }
  Forget forget(&shared_);
  dead->map().ForEachBlock([&](uint64_t block) {
    if (block >= dead->blocks()) return;
    forget.Range(dead.get(), block * kPagesPerPmd, kPagesPerPmd, PageWord());
  });
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> Pager::Impl::PageOut(Region* region) {
  const std::shared_ptr<Region> keep = shared_.regions.Hold(region);
  if (keep == nullptr) {
    return absl::InvalidArgumentError("there is no such region");
  }
  const uint64_t pages = region->length() / kPageBytes;
  return reclaim_->TakeOutRange(region, 0, pages) * kPageBytes;
}

PagerStats Pager::Impl::Stats() const {
  PagerStats stats = SnapshotOf(shared_.counters);
  stats.retries = shared_.transport->Stats().retries;
  MutexLock lock(&mu_);
  for (const auto& group : groups_) {
    // A group's pins are counted in those above it, too.
    if (group->parent() != nullptr) continue;
    stats.pinned_bytes += group->pinned() * kPageBytes;
  }
  return stats;
}

bool Pager::Impl::IsIdle() const {
  MutexLock lock(&mu_);
  const bool charged = absl::c_any_of(
      groups_, [](const auto& group) { return group->usage() > 0; });
  return !charged && shared_.folios.in_use() == 0 &&
         shared_.swap.used_slots() == 0 && shared_.staging->IsIdle();
}

void Pager::Impl::CheckInvariants() const {
  shared_.swap.CheckInvariants();
  MutexLock lock(&mu_);
  for (const auto& group : groups_) group->CheckInvariants();
}

Pager::Pager(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

absl::StatusOr<std::unique_ptr<Pager>> Pager::Create(
    const PagerOptions& options, std::unique_ptr<remote::Transport> transport) {
  return CreateForTest(options, std::move(transport), nullptr);
}

absl::StatusOr<std::unique_ptr<Pager>> Pager::CreateForTest(
    const PagerOptions& options, std::unique_ptr<remote::Transport> transport,
    const Wrap& wrap) {
  auto impl = std::make_unique<Impl>();
  const absl::Status status = impl->Init(options, std::move(transport), wrap);
  if (!status.ok()) {
    impl->Shutdown();
    return status;
  }
  return std::unique_ptr<Pager>(new Pager(std::move(impl)));
}

Pager::~Pager() { impl_->Shutdown(); }

absl::StatusOr<Group*> Pager::CreateGroup(uint64_t limit_bytes, Group* parent) {
  return impl_->CreateGroup(limit_bytes, parent);
}

absl::Status Pager::DestroyGroup(Group* group) {
  return impl_->DestroyGroup(group);
}

absl::Status Pager::SetGroupLimit(Group* group, uint64_t limit_bytes) {
  return impl_->SetGroupLimit(group, limit_bytes);
}

absl::Status Pager::SetGroupSwapLimit(Group* group, uint64_t limit_bytes) {
  return impl_->SetGroupSwapLimit(group, limit_bytes);
}

absl::StatusOr<Region*> Pager::CreateRegion(Group* group,
                                            const RegionOptions& options) {
  return impl_->CreateRegion(group, options);
}

absl::Status Pager::DestroyRegion(Region* region) {
  return impl_->DestroyRegion(region);
}

absl::StatusOr<uint64_t> Pager::PageOut(Region* region) {
  return impl_->PageOut(region);
}

Hints& Pager::hints() { return impl_->hints(); }

PagerStats Pager::Stats() const { return impl_->Stats(); }

bool Pager::IsIdle() const { return impl_->IsIdle(); }

void Pager::CheckInvariants() const { impl_->CheckInvariants(); }

}  // namespace farswap::pager

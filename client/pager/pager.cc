#include "client/pager/pager.h"

#include <unistd.h>

#include <chrono>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "client/pager/pager_impl.h"
#include "common/log_raw.h"

namespace farswap::pager {
namespace {

// For the goodbyes at the end: giving clusters back, closing the session.
constexpr std::chrono::seconds kShutdownWait{2};

}  // namespace

absl::Status Pager::Impl::Init(const PagerOptions& options,
                               std::unique_ptr<remote::Transport> transport,
                               const Wrap& wrap) {
  absl::StatusOr<std::unique_ptr<Uffd>> uffd = Uffd::Create();
  if (!uffd.ok()) return uffd.status();
  uffd_ = std::move(*uffd);
  if (wrap) wrapped_ = wrap(uffd_.get());
  mm_->space = uffd_.get();
  if (wrap) mm_->space = wrapped_.get();
  absl::StatusOr<std::unique_ptr<Staging>> staging = Staging::Create(
      options.staging_bytes, mm_->space,
      [&](char* at, size_t bytes) { return uffd_->Register(at, bytes); });
  if (!staging.ok()) return staging.status();
  shared_.staging = std::move(*staging);
  uffd_->SetNotInherited(shared_.staging->registered(),
                         shared_.staging->registered_bytes());
  shared_.fault_deadline = options.fault_deadline;
  shared_.transport = std::move(transport);
  forks_ = std::make_unique<Forks>(&shared_, mm_.get());
  changes_ = std::make_unique<MapChanges>(&shared_, mm_.get(), forks_.get());
  mm_->changes = changes_.get();
  reclaim_ = std::make_unique<Reclaim>(&shared_, [this] { DoChores(); });
  faults_ = std::make_unique<FaultPath>(&shared_, reclaim_.get());
  hints_ = std::make_unique<Hints>(&shared_, mm_.get(), reclaim_.get(),
                                   faults_.get());
  source_ = std::make_unique<Source>(uffd_.get());
  workers_ = std::make_unique<Workers>(
      source_.get(), uffd_->forks() ? uffd_.get() : nullptr, this);
  transport_tids_ = shared_.transport->ThreadIds();
  absl::Status started = reclaim_->Start();
  if (started.ok()) started = faults_->ahead().Start();
  if (started.ok()) started = hints_->Start();
  return started.ok() ? workers_->Start() : started;
}

void Pager::Impl::Shutdown() {
  if (workers_ == nullptr) return;
  // They use all the rest.
  forks_->Stop();
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

void Pager::Impl::DoChores() {
  // What was held, and nobody has asked for since.
  changes_->Apply();
  changes_->AdoptLeftovers();
  forks_->Reap();
}

void Pager::Impl::Serve(const Message& message, SteadyTime read_at) {
  const Fault& fault = *message.fault;
  const int tid = static_cast<int>(fault.tid);
  const bool own = workers_->IsWorker(fault.tid) || tid == reclaim_->tid() ||
                   faults_->ahead().IsOwn(tid) || tid == hints_->tid() ||
                   absl::c_linear_search(transport_tids_, tid);
  if ((own && !uffd_->MayFault(fault.tid)) ||
      shared_.staging->Holds(fault.address))
    DieOfOwnFault(fault);
  faults_->Serve(mm_, fault, read_at);
}

void Pager::Impl::PrepareFork(int* socket) {
  *socket = -1;
  if (!uffd_->forks()) return;
  *socket = forks_->Prepare();
  workers_->BeginFork();
}

void Pager::Impl::ForkDone() {
  if (!uffd_->forks()) return;
  workers_->EndFork([&](const Uffd::Forking& told) {
    ForkWindow window;
    for (const MapEvent& fork : told.forks) {
      window.children.push_back(fork.child);
    }
    window.unclear = told.unclear;
    window.settled = told.settled;
    forks_->Told(std::move(window));
  });
  forks_->Done();
}

void Pager::Impl::DieOfOwnFault(const Fault& fault) const {
  DieRaw(
      "thread %u faults at %p, in far memory or staging, where it must not: "
      "a bug in the library, or a program's callback on its threads",
      fault.tid, static_cast<void*>(fault.address));
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

void Pager::PrepareFork(int* socket) { impl_->PrepareFork(socket); }

void Pager::ForkDone() { impl_->ForkDone(); }

void Pager::InChild() { OwnFd::CloseAllInChild(); }

PagerStats Pager::Stats() const { return impl_->Stats(); }

bool Pager::IsIdle() const { return impl_->IsIdle(); }

void Pager::CheckInvariants() const { impl_->CheckInvariants(); }

}  // namespace farswap::pager

#include "client/pager/tree/tree_pager.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/core/memory_group.h"
#include "client/pager/fault_path.h"
#include "client/pager/group_limit.h"
#include "client/pager/reclaim.h"
#include "client/pager/region_end.h"
#include "client/pager/shared.h"
#include "client/pager/tree/adopter.h"
#include "client/pager/tree/fork_copy.h"
#include "client/pager/tree/fork_shares.h"
#include "client/pager/tree/tree_source.h"
#include "client/pager/workers.h"
#include "common/log_raw.h"
#include "common/mutex.h"
#include "common/units.h"

namespace farswap::pager {
namespace {

// For the goodbyes at the end: giving clusters back, closing the session.
constexpr std::chrono::seconds kShutdownWait{2};
// The reader never waits.
constexpr std::chrono::seconds kChangesWait{60};

}  // namespace

class TreePager::Impl final : public Workers::Handler {
 public:
  absl::Status Init(Options options,
                    std::unique_ptr<remote::Transport> transport);
  void Shutdown();

  absl::StatusOr<std::shared_ptr<ProcessMm>> Add(OwnFd uffd, bool enabled,
                                                 char* transit);
  absl::Status Begin(const std::shared_ptr<ProcessMm>& mm) {
    return source_.Add(mm);
  }
  void Remove(const std::shared_ptr<ProcessMm>& mm);
  absl::Status SetLimit(uint64_t limit_bytes);
  uint64_t usage_bytes() const { return group_->usage() * kPageBytes; }
  PagerStats Stats() const;
  bool IsIdle() const;
  void CheckInvariants() const;

 private:
  void Serve(const Message& message, SteadyTime read_at) override;
  void QueueChange(const Message& message) override {
    message.mm->changes->Queue(message.change);
  }
  void ApplyChanges(const Message& message) override {
    message.mm->changes->Apply();
  }
  static void FindPagemap(ProcessMm* mm, uint32_t tid);
  std::shared_ptr<ProcessMm> MakeMm(OwnFd uffd, char* transit);
  void Forked(ProcessMm* parent, int uffd,
              const std::vector<AddressRange>& held,
              const std::function<void()>& copied);
  void AwaitChanges(ProcessMm* mm);
  // One that is gone may have been the last that something was shared with.
  void EndSharing(const ProcessMm& gone);
  // The background's, beside reclaim.
  void DoChores();

  Options options_;
  Shared shared_;
  std::shared_ptr<core::MemoryGroup> group_;
  std::atomic<uint64_t> next_id_{1};
  TreeSource source_;
  // Forked children that cannot be read; kept open.
  Mutex unserved_mu_;
  std::vector<std::shared_ptr<ProcessMm>> unserved_
      ABSL_GUARDED_BY(unserved_mu_);
  std::unique_ptr<Reclaim> reclaim_;
  std::unique_ptr<FaultPath> faults_;
  std::unique_ptr<ForkShares> shares_;
  std::unique_ptr<Adopter> adopter_;
  std::unique_ptr<Workers> workers_;

  Mutex children_mu_;
  // Those that were forked, by their ids.
  std::vector<uint64_t> children_ ABSL_GUARDED_BY(children_mu_);
};

absl::Status TreePager::Impl::Init(
    Options options, std::unique_ptr<remote::Transport> transport) {
  options_ = std::move(options);
  absl::Status status = CheckGroupLimit(options_.limit_bytes);
  if (!status.ok()) return status;
  if (!source_.valid()) {
    return absl::ResourceExhaustedError("no file descriptor is left");
  }
  auto staging = Staging::CreatePlain(options_.staging_bytes);
  if (!staging.ok()) return staging.status();
  shared_.staging = *std::move(staging);
  shared_.fault_deadline = options_.fault_deadline;
  shared_.transport = std::move(transport);
  // Before they were paged for, perhaps.
  shared_.forked.store(true, std::memory_order_relaxed);
  group_ = std::make_shared<core::MemoryGroup>(
      &shared_.folios, options_.limit_bytes / kPageBytes);
  reclaim_ = std::make_unique<Reclaim>(&shared_, [this] { DoChores(); });
  reclaim_->AddGroup(group_);
  faults_ = std::make_unique<FaultPath>(&shared_, reclaim_.get());
  shares_ =
      std::make_unique<ForkShares>(&shared_, reclaim_.get(), group_.get());
  adopter_ = std::make_unique<Adopter>(&shared_, &source_, shares_.get());
  workers_ = std::make_unique<Workers>(&source_, nullptr, this);
  status = reclaim_->Start();
  if (status.ok()) status = faults_->ahead().Start();
  if (status.ok()) status = adopter_->Start();
  return status.ok() ? workers_->Start() : status;
}

void TreePager::Impl::Shutdown() {
  if (workers_ == nullptr) return;
  adopter_->Stop();
  // Puts first: they end waits for staging, and hold folios.
  shared_.transport->Shutdown(std::chrono::steady_clock::now() + kShutdownWait);
  shared_.staging->Shutdown();
  faults_->ahead().Stop();
  reclaim_->Stop();
  workers_->Stop();
  // Returns when the last put is done: it refers to staging and the tables.
  shared_.transport.reset();
}

std::shared_ptr<ProcessMm> TreePager::Impl::MakeMm(OwnFd uffd, char* transit) {
  return std::make_shared<ProcessMm>(
      &shared_, group_, next_id_.fetch_add(1), std::move(uffd), transit,
      [this](ProcessMm* parent, int child, const auto& held,
             const auto& copied) { Forked(parent, child, held, copied); });
}

absl::StatusOr<std::shared_ptr<ProcessMm>> TreePager::Impl::Add(OwnFd uffd,
                                                                bool enabled,
                                                                char* transit) {
  if (enabled) return MakeMm(std::move(uffd), transit);
  const absl::StatusOr<bool> forks = UffdSpace::Enable(uffd.get());
  if (!forks.ok()) return forks.status();
  if (!*forks) {
    return absl::PermissionDeniedError(
        "forks of a process are told to who has CAP_SYS_PTRACE only");
  }
  return MakeMm(std::move(uffd), transit);
}

void TreePager::Impl::Forked(ProcessMm* parent, int uffd,
                             const std::vector<AddressRange>& held,
                             const std::function<void()>& copied) {
  shared_.forked.store(true, std::memory_order_relaxed);
  shared_.counters.forks.Add();
  std::vector<MapEvent> unclear;
  const bool settled = parent->uffd().TakeUnclear(&unclear);
  auto child = MakeMm(OwnFd(uffd), parent->uffd().transit());
  // If anything can be missing.
  const bool none_is_far = parent->regions.Regions().empty();
  if (none_is_far) unclear.clear();
  ForkCopy copy(&shared_, parent, child.get());
  std::vector<AddressRange> lost = copy.LostBy(unclear);
  lost.insert(lost.end(), held.begin(), held.end());
  copy.Copy(lost);
  child->changes->InheritNobodys(*parent->changes);
  {
    // Before anything is shared: the end of others must not end that.
    MutexLock lock(&children_mu_);
    children_.push_back(child->id());
  }
  shares_->Protect(parent);
  shares_->Protect(child.get());
  copied();
  for (const auto& [start, end] : lost) copy.Lose(start, end);
  for (char* const page : parent->uffd().TakeLacked(uffd)) {
    if (!none_is_far) copy.Lose(page, page + kPageBytes);
  }
  if (!settled && !none_is_far) child->Condemn();
  if (options_.on_fork) options_.on_fork(*parent, child);
  if (source_.Add(child).ok()) return;
  // Who faults waits, rather than read zeros, until this process ends.
  LogRaw(LogLevel::kError,
         "a forked child of process %d waits for ever: no descriptor is left, "
         "see ulimit -n",
         parent->pid.load());
  MutexLock lock(&unserved_mu_);
  unserved_.push_back(std::move(child));
}

// A process that was made by a raw clone does not report in. The thread's id is
// one of its own pid namespace, so what it names here is asked for the tag that
// the child was given.
void TreePager::Impl::FindPagemap(ProcessMm* mm, uint32_t tid) {
  if (IsOf(*mm, tid)) mm->uffd().SetPagemapOf(tid);
}

bool TreePager::IsOf(const ProcessMm& mm, uint32_t tid) {
  const std::string path = absl::StrCat("/proc/", tid, "/mem");
  const OwnFd memory(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  uint64_t tag = 0;
  const auto at = static_cast<off_t>(mm.tag_page.load());
  return pread(memory.get(), &tag, sizeof(tag), at) == sizeof(tag) &&
         tag == mm.id();
}

void TreePager::Impl::Serve(const Message& message, SteadyTime read_at) {
  auto* const mm = static_cast<ProcessMm*>(message.mm.get());
  if (!mm->uffd().has_pagemap()) FindPagemap(mm, message.fault->tid);
  if (mm->condemned()) {
    LogRaw(LogLevel::kError,
           "the process of thread %u, as it is called there, was forked while "
           "its parent changed its map, and what it has is not known: it is "
           "ended, or waits",
           message.fault->tid);
    if (IsOf(*mm, message.fault->tid)) {
      kill(static_cast<pid_t>(message.fault->tid), SIGKILL);
    }
    return;
  }
  if (message.fault->write_protected) {
    return shares_->Serve(mm, *message.fault, read_at);
  }
  faults_->Serve(message.mm, *message.fault, read_at);
}

// What it forked just before is to have what it had: it went on when that was
// read, which may be before it was applied.
void TreePager::Impl::AwaitChanges(ProcessMm* mm) {
  const auto until = std::chrono::steady_clock::now() + kChangesWait;
  for (;;) {
    mm->changes->Apply();
    if (mm->uffd().IsAllRead(/*untold=*/0)) return;
    if (std::chrono::steady_clock::now() > until) {
      LogRaw(LogLevel::kError, "what process %d changed last is not known",
             mm->pid.load());
      (void)mm->uffd().End("what it changed last is not known");
      return;
    }
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
}

void TreePager::Impl::Remove(const std::shared_ptr<ProcessMm>& mm) {
  AwaitChanges(mm.get());
  source_.Remove(*mm);
  mm->uffd().SetGone();
  for (const std::shared_ptr<Region>& region : mm->regions.Regions()) {
    EndRegion(&shared_, reclaim_.get(), region.get(), [](const auto&) {});
  }
  EndSharing(*mm);
}

void TreePager::Impl::EndSharing(const ProcessMm& gone) {
  MutexLock lock(&children_mu_);
  if (std::erase(children_, gone.id()) == 0 || !children_.empty()) return;
  // Whoever is left shares with nobody.
  for (const auto& mm : source_.All()) {
    if (mm->uffd().forked()) shares_->End(mm.get());
  }
}

void TreePager::Impl::DoChores() {
  for (const auto& mm : source_.All()) {
    // What was held, and nobody has asked for since.
    mm->changes->Apply();
    mm->changes->AdoptLeftovers();
  }
}

absl::Status TreePager::Impl::SetLimit(uint64_t limit_bytes) {
  const absl::Status status = CheckGroupLimit(limit_bytes);
  if (!status.ok()) return status;
  group_->SetLimit(limit_bytes / kPageBytes);
  reclaim_->Kick();
  return absl::OkStatus();
}

PagerStats TreePager::Impl::Stats() const {
  PagerStats stats = SnapshotOf(shared_.counters);
  stats.retries = shared_.transport->Stats().retries;
  return stats;
}

bool TreePager::Impl::IsIdle() const {
  return group_->usage() == 0 && shared_.folios.in_use() == 0 &&
         shared_.swap.used_slots() == 0 && shared_.staging->IsIdle();
}

void TreePager::Impl::CheckInvariants() const {
  shared_.swap.CheckInvariants();
  group_->CheckInvariants();
}

TreePager::TreePager(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

absl::StatusOr<std::unique_ptr<TreePager>> TreePager::Create(
    Options options, std::unique_ptr<remote::Transport> transport) {
  auto impl = std::make_unique<Impl>();
  const absl::Status status =
      impl->Init(std::move(options), std::move(transport));
  if (!status.ok()) {
    impl->Shutdown();
    return status;
  }
  return std::unique_ptr<TreePager>(new TreePager(std::move(impl)));
}

TreePager::~TreePager() { impl_->Shutdown(); }

absl::StatusOr<std::shared_ptr<ProcessMm>> TreePager::Add(OwnFd uffd,
                                                          bool enabled,
                                                          char* transit) {
  return impl_->Add(std::move(uffd), enabled, transit);
}

absl::Status TreePager::Begin(const std::shared_ptr<ProcessMm>& mm) {
  return impl_->Begin(mm);
}

void TreePager::Remove(const std::shared_ptr<ProcessMm>& mm) {
  impl_->Remove(mm);
}

absl::Status TreePager::SetLimit(uint64_t limit_bytes) {
  return impl_->SetLimit(limit_bytes);
}

uint64_t TreePager::usage_bytes() const { return impl_->usage_bytes(); }

PagerStats TreePager::Stats() const { return impl_->Stats(); }

bool TreePager::IsIdle() const { return impl_->IsIdle(); }

void TreePager::CheckInvariants() const { impl_->CheckInvariants(); }

}  // namespace farswap::pager

// Ownership: releases, those that have to be tried again, and what time brings.
#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "server/error.h"
#include "server/ownership.h"

namespace farswap::server {
namespace {

// How long a free waits for the cluster's gets that are on their way out.
constexpr std::chrono::milliseconds kUnpinBound{1'000};

// Behind a release that failed: done in part, and to be done again.
absl::Status NotWritten() {
  return Refuse(Reason::kMetadataUnavailable,
                "an earlier call to free this could not be written: repeat");
}

absl::Status InUse() {
  return absl::DeadlineExceededError(
      "a put or get of the clusters is still under way: repeat");
}

bool Same(const GrantRecord& a, const GrantRecord& b) {
  return a.cluster == b.cluster && a.generation == b.generation;
}

template <typename T>
void Append(const std::vector<T>& from, std::vector<T>* to) {
  to->insert(to->end(), from.begin(), from.end());
}

}  // namespace

absl::StatusOr<uint32_t> Ownership::Release(
    const std::shared_ptr<Session>& session) {
  Limbo limbo;
  limbo.grants = parts_.clusters->RetireAll(session->id());
  limbo.sessions.push_back(session->id());
  const uint32_t freed = static_cast<uint32_t>(limbo.grants.size());
  const absl::Status status = Finish(std::move(limbo));
  // Only now: a repeated Close finds the session, or what is left of it.
  parts_.sessions->Erase(session->id());
  if (!status.ok()) return status;
  return freed;
}

absl::Status Ownership::Finish(Limbo limbo) {
  absl::Status status = CommitRelease(limbo);
  if (status.ok()) {
    limbo.committed = true;
    status = EmptyAndReturn(&limbo);
  }
  if (!status.ok()) SetAside(std::move(limbo));
  return status;
}

absl::Status Ownership::CommitRelease(const Limbo& limbo) {
  Change change;
  change.frees = limbo.grants;
  change.end_sessions = limbo.sessions;
  return parts_.journal->Commit(change);
}

absl::Status Ownership::EmptyAndReturn(Limbo* limbo) {
  std::vector<uint64_t> clusters;
  for (const GrantRecord& grant : limbo->grants) {
    clusters.push_back(grant.cluster);
  }
  const Clock::Time until = std::chrono::steady_clock::now() + kUnpinBound;
  std::vector<GrantRecord> left;
  if (!parts_.clusters->AwaitUnpinned(clusters, until)) {
    const auto pinned = std::partition(
        limbo->grants.begin(), limbo->grants.end(), [this](const auto& grant) {
          return !parts_.clusters->IsPinned(grant.cluster);
        });
    left.assign(pinned, limbo->grants.end());
    limbo->grants.erase(pinned, limbo->grants.end());
  }
  const bool in_use = !left.empty();
  const absl::Status emptied = ScrubAndReturn(std::move(limbo->grants), &left);
  limbo->grants = std::move(left);
  if (!emptied.ok()) return emptied;
  return in_use ? InUse() : absl::OkStatus();
}

absl::Status Ownership::ScrubAndReturn(std::vector<GrantRecord> grants,
                                       std::vector<GrantRecord>* left) {
  std::sort(grants.begin(), grants.end(),
            [](const auto& a, const auto& b) { return a.cluster < b.cluster; });
  absl::Status status;
  // By runs of consecutive clusters: a system call each.
  for (size_t begin = 0, end = 0; begin < grants.size(); begin = end) {
    const uint64_t first = grants[begin].cluster;
    while (end < grants.size() &&
           grants[end].cluster == first + (end - begin)) {
      ++end;
    }
    const absl::Status emptied = parts_.pool->Scrub(first, end - begin);
    for (size_t i = begin; i < end; ++i) {
      if (emptied.ok()) {
        parts_.clusters->Return(grants[i].cluster);
      } else {
        left->push_back(grants[i]);
      }
    }
    status.Update(emptied);
  }
  if (!status.ok()) parts_.log(std::string(status.message()));
  return status;
}

void Ownership::SetAside(Limbo limbo) {
  MutexLock lock(&limbo_mu_);
  limbo_.push_back(std::move(limbo));
}

size_t Ownership::limbo_clusters() const {
  MutexLock lock(&limbo_mu_);
  size_t clusters = 0;
  for (const Limbo& limbo : limbo_) clusters += limbo.grants.size();
  return clusters;
}

bool Ownership::MendMetadata() {
  const std::string problem = parts_.journal->problem();
  if (problem.empty()) return true;
  const absl::Status status = parts_.journal->Reopen();
  if (status.ok()) {
    parts_.log("the metadata store accepts changes again");
    return true;
  }
  if (status.message() != absl::string_view(problem)) {
    parts_.log("the metadata store does not accept changes: " +
               std::string(status.message()));
  }
  return false;
}

void Ownership::RetryLimbo() {
  Limbo written, unwritten;
  size_t tried = 0;
  {
    MutexLock lock(&limbo_mu_);
    tried = limbo_.size();
    for (const Limbo& limbo : limbo_) {
      Limbo& to = limbo.committed ? written : unwritten;
      Append(limbo.grants, &to.grants);
      Append(limbo.sessions, &to.sessions);
    }
  }
  if (tried == 0) return;
  // One change for all of it, and then one wait for all that is in use.
  written.committed = true;
  const bool has_unwritten =
      !unwritten.grants.empty() || !unwritten.sessions.empty();
  if (has_unwritten && CommitRelease(unwritten).ok()) {
    Append(unwritten.grants, &written.grants);
    unwritten = Limbo();
  }
  // Of the sessions nothing is left but their clusters.
  written.sessions.clear();
  EmptyAndReturn(&written).IgnoreError();
  MutexLock lock(&limbo_mu_);
  limbo_.erase(limbo_.begin(),
               limbo_.begin() + static_cast<std::ptrdiff_t>(tried));
  for (Limbo* left : {&written, &unwritten}) {
    if (left->grants.empty() && left->sessions.empty()) continue;
    limbo_.push_back(std::move(*left));
  }
}

absl::Status Ownership::Unfinished(uint64_t session,
                                   absl::Span<const GrantRecord> grants) const {
  const auto named = [&](const GrantRecord& grant) {
    return grant.session == session &&
           (grants.empty() ||
            std::any_of(grants.begin(), grants.end(),
                        [&](const auto& g) { return Same(g, grant); }));
  };
  absl::Status status;
  MutexLock lock(&limbo_mu_);
  for (const Limbo& limbo : limbo_) {
    const bool ended =
        grants.empty() &&
        std::count(limbo.sessions.begin(), limbo.sessions.end(), session) != 0;
    if (!ended &&
        std::none_of(limbo.grants.begin(), limbo.grants.end(), named)) {
      continue;
    }
    if (!limbo.committed) return NotWritten();
    status = InUse();
  }
  return status;
}

void Ownership::Tick() {
  // Between the steps too: each waits for disks and calls a bounded time.
  Beat();
  if (!MendMetadata()) return;
  Beat();
  RetryLimbo();
  Beat();
  const Sessions silent = Reclaimable(/*owners_only=*/false);
  EndThoseThatOwnNothing(silent);
  EndOverdue(silent);
  Beat();
}

}  // namespace farswap::server

// Ownership: releases, those that have to be tried again, and what time brings.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "server/ownership.h"

namespace farswap::server {
namespace {

// How long a free waits for the cluster's gets that are on their way out.
constexpr std::chrono::milliseconds kUnpinBound{1'000};

// Calls `visit(first, count)` for each run of consecutive clusters.
template <typename Visit>
absl::Status ForEachRun(const std::vector<GrantRecord>& grants, Visit visit) {
  std::vector<uint64_t> clusters;
  for (const GrantRecord& grant : grants) clusters.push_back(grant.cluster);
  std::sort(clusters.begin(), clusters.end());
  for (size_t begin = 0; begin < clusters.size();) {
    size_t end = begin + 1;
    while (end < clusters.size() &&
           clusters[end] == clusters[begin] + (end - begin)) {
      ++end;
    }
    const absl::Status status = visit(clusters[begin], end - begin);
    if (!status.ok()) return status;
    begin = end;
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Ownership::Finish(Limbo limbo) {
  if (!limbo.committed) {
    Change change;
    change.frees = limbo.grants;
    change.end_sessions = limbo.sessions;
    const absl::Status status = parts_.journal->Commit(change);
    if (!status.ok()) {
      SetAside(std::move(limbo));
      return status;
    }
    limbo.committed = true;
  }
  return EmptyAndReturn(std::move(limbo));
}

absl::Status Ownership::EmptyAndReturn(Limbo limbo) {
  std::vector<uint64_t> clusters;
  for (const GrantRecord& grant : limbo.grants) {
    clusters.push_back(grant.cluster);
  }
  const Clock::Time until = std::chrono::steady_clock::now() + kUnpinBound;
  if (!parts_.clusters->AwaitUnpinned(clusters, until)) {
    SetAside(std::move(limbo));
    return absl::DeadlineExceededError(
        "a put or get of the clusters is still under way: repeat");
  }
  const absl::Status emptied =
      ForEachRun(limbo.grants, [this](uint64_t first, uint64_t count) {
        return parts_.pool->Scrub(first, count);
      });
  if (!emptied.ok()) {
    parts_.log(std::string(emptied.message()));
    SetAside(std::move(limbo));
    return emptied;
  }
  for (const uint64_t cluster : clusters) parts_.clusters->Return(cluster);
  return absl::OkStatus();
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
  std::vector<Limbo> pending;
  {
    MutexLock lock(&limbo_mu_);
    pending.swap(limbo_);
  }
  // What fails again is set aside again.
  for (Limbo& limbo : pending) Finish(std::move(limbo)).IgnoreError();
}

void Ownership::Tick() {
  if (!MendMetadata()) return;
  RetryLimbo();
  const Clock::Time now = parts_.clock->Now();
  for (const auto& session : parts_.sessions->All()) {
    if (session->StateAt(now) == SessionState::kOverdue) Reclaim(session);
  }
}

}  // namespace farswap::server

#include "server/ownership.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "server/error.h"

namespace farswap::server {
namespace {

// Reserved durably at a time: a restart skips at most as many numbers, of
// which there are 2^64.
constexpr uint64_t kGenerationBlock = uint64_t{1} << 20;

absl::Status Malformed(std::string_view what) {
  return Refuse(Reason::kMalformed, what);
}

}  // namespace

Ownership::Ownership(const Options& options, const Parts& parts,
                     uint64_t incarnation)
    : options_(options),
      parts_(parts),
      incarnation_(incarnation),
      beat_(parts.clock->Now()),
      reclaim_from_(parts.clock->Now()) {}

absl::Status Ownership::Restore(const Contents& contents) {
  {
    MutexLock lock(&generation_mu_);
    next_generation_ = contents.identity.generation_bound;
    generation_bound_ = next_generation_;
  }
  const Clock::Time now = parts_.clock->Now();
  for (const SessionRecord& record : contents.sessions) {
    // What was open before stays open, whatever the limit is now.
    parts_.sessions->Insert(
        std::make_shared<Session>(record, options_.times, now),
        contents.sessions.size());
  }
  for (const GrantRecord& grant : contents.grants) {
    if (parts_.clusters->Restore(grant)) continue;
    return absl::DataLossError(absl::StrCat(
        "the metadata is damaged (cluster ", grant.cluster,
        " is granted twice, or at no generation): restore a backup of it, or "
        "remove it to begin anew, with every client told of its loss"));
  }
  absl::Status emptied;
  parts_.clusters->EndRestore([&](uint64_t first, uint64_t count) {
    emptied.Update(parts_.pool->Scrub(first, count));
  });
  return emptied;
}

absl::StatusOr<std::shared_ptr<Session>> Ownership::FindAndEnter(
    uint64_t session, uint32_t epoch) {
  if (session == 0) return Malformed("session_id is missing");
  if (epoch == 0) return Malformed("epoch is missing");
  std::shared_ptr<Session> found = parts_.sessions->Find(session);
  if (found == nullptr) {
    return Refuse(Reason::kUnknownSession,
                  "no such session: attach, to learn what became of it");
  }
  const absl::Status status = found->Enter(epoch, parts_.clock->Now());
  if (!status.ok()) return status;
  return found;
}

uint64_t Ownership::ReserveGenerations(uint64_t count, Change* change) {
  MutexLock lock(&generation_mu_);
  const uint64_t first = next_generation_;
  next_generation_ += count;
  if (next_generation_ > generation_bound_) {
    generation_bound_ = next_generation_ + kGenerationBlock;
  }
  // In every change, not only the one that raised it: of two commits under
  // way, the other one may be kept and this one not.
  change->generation_bound = generation_bound_;
  return first;
}

absl::StatusOr<std::vector<GrantRecord>> Ownership::Grant(
    uint64_t session, uint64_t request, const std::vector<uint64_t>& clusters) {
  Change change;
  uint64_t generation = ReserveGenerations(clusters.size(), &change);
  for (const uint64_t cluster : clusters) {
    change.grants.push_back(
        GrantRecord{session, request, cluster, generation++});
  }
  const absl::Status status = parts_.journal->Commit(change);
  if (!status.ok()) {
    SetAside(Limbo{std::move(change.grants), {}, false});
    return status;
  }
  for (const GrantRecord& grant : change.grants) {
    parts_.clusters->Grant(grant);
  }
  return std::move(change.grants);
}

absl::StatusOr<std::vector<GrantRecord>> Ownership::Allocate(uint64_t session,
                                                             uint32_t epoch,
                                                             uint64_t request,
                                                             uint32_t count) {
  if (request == 0) return Malformed("request_id is missing");
  if (count == 0 || count > kMaxBatchClusters) {
    return Malformed("count is not 1 to 256");
  }
  const auto found = FindAndEnter(session, epoch);
  if (!found.ok()) return found.status();
  MutexLock lock(&(*found)->ownership_mu());
  const absl::Status again = (*found)->Enter(epoch, parts_.clock->Now());
  if (!again.ok()) return again;
  auto earlier = parts_.journal->FindRequest(session, request);
  if (!earlier.ok()) return earlier.status();
  std::erase_if(*earlier, [this](const GrantRecord& grant) {
    return !parts_.clusters->Owns(grant);
  });
  if (!earlier->empty()) return earlier;
  if (draining()) return Refuse(Reason::kDraining, "the server is stopping");
  // Not a cluster more into limbo than those it failed with.
  const absl::Status writable = parts_.journal->Writable();
  if (!writable.ok()) return writable;
  const std::vector<uint64_t> clusters = TakeBacked(count);
  if (clusters.empty()) {
    // What was to be reclaimed could not be.
    const absl::Status still = parts_.journal->Writable();
    if (!still.ok()) return still;
    return Refuse(Reason::kPoolFull,
                  "the pool has no free cluster, or no backing for one");
  }
  return Grant(session, request, clusters);
}

absl::StatusOr<uint32_t> Ownership::Free(uint64_t session, uint32_t epoch,
                                         absl::Span<const GrantRecord> grants) {
  if (grants.empty() || grants.size() > kMaxBatchClusters) {
    return Malformed("grants are not 1 to 256");
  }
  for (const GrantRecord& grant : grants) {
    if (grant.generation == 0 || grant.cluster >= parts_.pool->clusters()) {
      return Malformed("a grant has no generation, or a cluster that is none");
    }
  }
  const auto found = FindAndEnter(session, epoch);
  if (!found.ok()) return found.status();
  MutexLock lock(&(*found)->ownership_mu());
  const absl::Status again = (*found)->Enter(epoch, parts_.clock->Now());
  if (!again.ok()) return again;
  absl::Status status = parts_.journal->Writable();
  if (!status.ok()) return status;
  Limbo limbo;
  std::vector<GrantRecord> earlier;
  for (const GrantRecord& grant : grants) {
    auto retired =
        parts_.clusters->Retire(grant.cluster, grant.generation, session);
    if (retired.has_value()) {
      limbo.grants.push_back(*retired);
    } else {
      earlier.push_back(grant);
    }
  }
  const uint32_t freed = static_cast<uint32_t>(limbo.grants.size());
  if (freed != 0) status = Finish(std::move(limbo));
  if (status.ok() && !earlier.empty()) status = Unfinished(session, earlier);
  if (!status.ok()) return status;
  return freed;
}

}  // namespace farswap::server

#include "server/ownership.h"

#include <sys/random.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "server/error.h"

namespace farswap::server {
namespace {

// Reserved durably at a time: a restart skips at most as many numbers, of
// which there are 2^64.
constexpr uint64_t kGenerationBlock = uint64_t{1} << 20;

absl::Status ContentsLost() {
  return Refuse(Reason::kContentsLost,
                "the session's contents are gone: its lease ran out and its "
                "clusters were taken, or the server's pool began anew; open "
                "a new session");
}

absl::Status Malformed(std::string_view what) {
  return Refuse(Reason::kMalformed, what);
}

// 64 random bits, never 0 nor the highest number, which ends the key range.
absl::StatusOr<uint64_t> NewSessionId() {
  uint64_t id = 0;
  while (id == 0 || id == ~uint64_t{0}) {
    if (getrandom(&id, sizeof(id), 0) != sizeof(id)) {
      return absl::InternalError("the kernel gave no random bytes");
    }
  }
  return id;
}

}  // namespace

Ownership::Ownership(const Options& options, const Parts& parts,
                     uint64_t incarnation)
    : options_(options), parts_(parts), incarnation_(incarnation) {}

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

absl::StatusOr<Ownership::Attachment> Ownership::Open(
    const std::string& client_name, std::chrono::milliseconds fault_deadline) {
  if (draining()) return Refuse(Reason::kDraining, "the server is stopping");
  if (client_name.size() > kMaxClientNameBytes) {
    return Malformed("client_name is longer than 128 bytes");
  }
  if (fault_deadline.count() < 0) {
    return Malformed("fault_deadline is negative");
  }
  if (fault_deadline > options_.times.retention) {
    return Malformed(
        "fault_deadline is beyond the server's retention: nothing is kept "
        "for longer than that");
  }
  if (fault_deadline.count() == 0) {
    fault_deadline = options_.default_fault_deadline;
  }
  const absl::StatusOr<uint64_t> id = NewSessionId();
  if (!id.ok()) return id.status();
  const SessionRecord record{
      *id, 1, static_cast<uint64_t>(fault_deadline.count()), client_name};
  const auto session =
      std::make_shared<Session>(record, options_.times, parts_.clock->Now());
  // Nobody knows the id yet: what the limit admits can be kept or dropped.
  if (!parts_.sessions->Insert(session, options_.max_sessions)) {
    return Refuse(Reason::kLimit, "the server has no room for more sessions");
  }
  Change change;
  change.put_sessions.push_back(record);
  const absl::Status status = parts_.journal->Commit(change);
  if (!status.ok()) {
    parts_.sessions->Erase(*id);
    SetAside(Limbo{{}, {*id}, false});
    return status;
  }
  return Attachment{*id, 1};
}

absl::StatusOr<Ownership::Attachment> Ownership::Attach(uint64_t session,
                                                        uint64_t incarnation,
                                                        Clock::Time until) {
  if (session == 0) return Malformed("session_id is missing");
  const std::shared_ptr<Session> found = parts_.sessions->Find(session);
  if (found == nullptr || incarnation != incarnation_) return ContentsLost();
  // Held until the epoch is durable: two attaches are written in order, and
  // no older allocation ends after this.
  MutexLock lock(&found->ownership_mu());
  if (!found->Hear(parts_.clock->Now()).ok()) return ContentsLost();
  absl::Status status = parts_.journal->Writable();
  if (!status.ok()) return status;
  const uint32_t epoch = found->RaiseEpoch();
  const Clock::Time bound = std::chrono::steady_clock::now() + kDrainBound;
  if (!found->AwaitOlderPuts(std::min(until, bound))) {
    return absl::DeadlineExceededError(
        "puts of earlier epochs are still under way: attach again");
  }
  Change change;
  change.put_sessions.push_back(found->Record());
  status = parts_.journal->Commit(change);
  if (status.ok()) return Attachment{session, epoch};
  // The client is not told: left raised, the epoch it has would be refused,
  // and each attempt to mend that would raise it further.
  found->LowerEpoch(epoch);
  return status;
}

absl::Status Ownership::KeepAlive(uint64_t session, uint32_t epoch) {
  return FindAndEnter(session, epoch).status();
}

absl::StatusOr<uint32_t> Ownership::Close(uint64_t session, uint32_t epoch) {
  const auto found = FindAndEnter(session, epoch);
  if (ReasonOf(found.status()) == Reason::kUnknownSession) return 0;
  if (!found.ok()) return found.status();
  MutexLock lock(&(*found)->ownership_mu());
  const absl::Status again = (*found)->Enter(epoch, parts_.clock->Now());
  if (ReasonOf(again) == Reason::kUnknownSession) return 0;
  if (!again.ok()) return again;
  (*found)->End();
  return Release(*found);
}

absl::StatusOr<uint32_t> Ownership::Release(
    const std::shared_ptr<Session>& session) {
  Limbo limbo;
  limbo.grants = parts_.clusters->RetireAll(session->id());
  limbo.sessions.push_back(session->id());
  parts_.sessions->Erase(session->id());
  const uint32_t freed = static_cast<uint32_t>(limbo.grants.size());
  const absl::Status status = Finish(std::move(limbo));
  if (!status.ok()) return status;
  return freed;
}

bool Ownership::Reclaim(const std::shared_ptr<Session>& session) {
  // Whoever holds it is a client that came back, or another reclaimer.
  if (!session->ownership_mu().TryLock()) return false;
  const bool ended = session->EndIfReclaimable(parts_.clock->Now());
  if (ended) {
    const auto freed = Release(session);
    const SessionRecord record = session->Record();
    parts_.log(absl::StrCat("took the clusters of session '",
                            record.client_name, "', whose lease ran out: ",
                            freed.ok() ? absl::StrCat(*freed, " clusters")
                                       : freed.status().ToString()));
  }
  session->ownership_mu().Unlock();
  return ended;
}

bool Ownership::ReclaimOne() {
  const Clock::Time now = parts_.clock->Now();
  std::vector<std::shared_ptr<Session>> candidates;
  for (auto& session : parts_.sessions->All()) {
    const SessionState state = session->StateAt(now);
    if ((state == SessionState::kReclaimable ||
         state == SessionState::kOverdue) &&
        parts_.clusters->GrantedTo(session->id()) != 0) {
      candidates.push_back(std::move(session));
    }
  }
  std::sort(
      candidates.begin(), candidates.end(),
      [](const auto& a, const auto& b) { return a->heard() < b->heard(); });
  return std::any_of(candidates.begin(), candidates.end(),
                     [this](const auto& session) { return Reclaim(session); });
}

std::vector<uint64_t> Ownership::TakeBackedOnce(uint32_t count) {
  std::vector<uint64_t> clusters = parts_.clusters->Take(count);
  const size_t backed = parts_.pool->Back(clusters);
  for (size_t i = backed; i < clusters.size(); ++i) {
    parts_.clusters->Return(clusters[i]);
  }
  clusters.resize(backed);
  return clusters;
}

std::vector<uint64_t> Ownership::TakeBacked(uint32_t count) {
  std::vector<uint64_t> clusters = TakeBackedOnce(count);
  // Ends: a session is reclaimed once.
  while (clusters.empty() && ReclaimOne()) clusters = TakeBackedOnce(count);
  return clusters;
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
  Limbo limbo;
  for (const GrantRecord& grant : grants) {
    auto retired =
        parts_.clusters->Retire(grant.cluster, grant.generation, session);
    if (retired.has_value()) limbo.grants.push_back(*retired);
  }
  if (limbo.grants.empty()) return 0;
  const uint32_t freed = static_cast<uint32_t>(limbo.grants.size());
  const absl::Status status = Finish(std::move(limbo));
  if (!status.ok()) return status;
  return freed;
}

}  // namespace farswap::server

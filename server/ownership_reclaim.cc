// Ownership: taking from sessions that fell silent.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/ownership.h"

namespace farswap::server {
namespace {

// In one change, about once a second. The rest waits for the next one.
constexpr size_t kMostEndedATick = 1024;

bool IsReclaimable(SessionState state) {
  return state == SessionState::kReclaimable || state == SessionState::kOverdue;
}

}  // namespace

void Ownership::Beat() {
  const Clock::Time now = parts_.clock->Now();
  const auto since = now - beat_.load();
  if (since > kStallBound) {
    reclaim_from_ = now + options_.times.lease;
    parts_.log(absl::StrCat(
        "the server stood still for ",
        std::chrono::duration_cast<std::chrono::milliseconds>(since).count(),
        " ms: no session is taken before one full lease from now"));
  }
  beat_ = now;
}

// Whoever was not heard while the server stood still may have called all the
// time. The first to look may be faster than the Tick that notices.
bool Ownership::MayReclaim(Clock::Time now) const {
  return now - beat_.load() <= kStallBound && now >= reclaim_from_.load() &&
         parts_.journal->Writable().ok();
}

Ownership::Sessions Ownership::Reclaimable(bool owners_only) const {
  const Clock::Time now = parts_.clock->Now();
  // What is sorted must not change meanwhile: the time is read once.
  std::vector<std::pair<Clock::Time, std::shared_ptr<Session>>> found;
  for (auto& session : parts_.sessions->All()) {
    if (!IsReclaimable(session->StateAt(now))) continue;
    if (owners_only && parts_.clusters->GrantedTo(session->id()) == 0) continue;
    found.emplace_back(session->heard(), std::move(session));
  }
  std::sort(found.begin(), found.end());
  Sessions sessions;
  for (auto& entry : found) sessions.push_back(std::move(entry.second));
  return sessions;
}

Ownership::Reclaimed Ownership::ReclaimOne(bool owners_only) {
  for (const auto& session : Reclaimable(owners_only)) {
    const Reclaimed reclaimed = Reclaim(session);
    if (reclaimed != Reclaimed::kNotTaken) return reclaimed;
  }
  return Reclaimed::kNotTaken;
}

Ownership::Reclaimed Ownership::Reclaim(
    const std::shared_ptr<Session>& session) {
  // One time for all: a stall from here on makes nobody silent.
  const Clock::Time now = parts_.clock->Now();
  if (!MayReclaim(now)) return Reclaimed::kNotTaken;
  // Whoever holds it is a client that came back, or another reclaimer.
  if (!session->ownership_mu().TryLock()) return Reclaimed::kNotTaken;
  Reclaimed reclaimed = Reclaimed::kNotTaken;
  if (session->EndIfReclaimable(now)) {
    const auto freed = Release(session);
    const SessionRecord record = session->Record();
    parts_.log(absl::StrCat("took the clusters of session '",
                            record.client_name, "', whose lease ran out: ",
                            freed.ok() ? absl::StrCat(*freed, " clusters")
                                       : freed.status().ToString()));
    reclaimed = freed.ok() ? Reclaimed::kReleased : Reclaimed::kFailed;
  }
  session->ownership_mu().Unlock();
  return reclaimed;
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
  while (clusters.empty()) {
    const Reclaimed reclaimed = ReclaimOne(/*owners_only=*/true);
    if (reclaimed == Reclaimed::kNotTaken) break;
    // A release that failed may have returned what was not in use.
    clusters = TakeBackedOnce(count);
    if (reclaimed == Reclaimed::kFailed) break;
  }
  return clusters;
}

void Ownership::EndOverdue(const Sessions& silent) {
  const Clock::Time now = parts_.clock->Now();
  for (const auto& session : silent) {
    // They are in order: the rest was heard of later.
    if (session->StateAt(now) != SessionState::kOverdue) return;
    if (Reclaim(session) == Reclaimed::kFailed) return;
  }
}

bool Ownership::EndIfItOwnsNothing(const std::shared_ptr<Session>& session) {
  const Clock::Time now = parts_.clock->Now();
  if (!MayReclaim(now) || !session->ownership_mu().TryLock()) return false;
  const bool ended = parts_.clusters->GrantedTo(session->id()) == 0 &&
                     session->EndIfReclaimable(now);
  if (ended) parts_.sessions->Erase(session->id());
  session->ownership_mu().Unlock();
  return ended;
}

// What they would resume is nothing, and each takes a place of the limit.
void Ownership::EndThoseThatOwnNothing(const Sessions& silent) {
  Limbo ended;
  for (const auto& session : silent) {
    if (ended.sessions.size() == kMostEndedATick) break;
    if (EndIfItOwnsNothing(session)) ended.sessions.push_back(session->id());
  }
  if (ended.sessions.empty()) return;
  parts_.log(absl::StrCat("ended ", ended.sessions.size(),
                          " sessions that owned nothing and whose lease ran "
                          "out"));
  Finish(std::move(ended)).IgnoreError();
}

}  // namespace farswap::server

#include "server/session_table.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "server/error.h"

namespace farswap::server {
namespace {

absl::Status Unknown() {
  return Refuse(Reason::kUnknownSession,
                "no such session: attach, to learn what became of it");
}

}  // namespace

Session::Session(const SessionRecord& record, const LeaseTimes& times,
                 Clock::Time now)
    : id_(record.id),
      client_name_(record.client_name),
      fault_deadline_(record.fault_deadline_ms),
      times_(times),
      epoch_(record.epoch),
      heard_(now) {}

SessionRecord Session::Record() const {
  MutexLock lock(&mu_);
  return SessionRecord{id_, epoch_,
                       static_cast<uint64_t>(fault_deadline_.count()),
                       client_name_};
}

absl::Status Session::Hear(Clock::Time now) {
  MutexLock lock(&mu_);
  if (ended_) return Unknown();
  heard_ = now;
  return absl::OkStatus();
}

absl::Status Session::EnterLocked(uint32_t epoch, Clock::Time now) {
  if (ended_) return Unknown();
  if (epoch != epoch_) {
    const std::string message =
        absl::StrCat("epoch ", epoch, " is not the session's, ", epoch_,
                     ": it was attached again");
    return Refuse(Reason::kStaleEpoch, message);
  }
  heard_ = now;
  return absl::OkStatus();
}

absl::Status Session::Enter(uint32_t epoch, Clock::Time now) {
  MutexLock lock(&mu_);
  return EnterLocked(epoch, now);
}

absl::Status Session::BeginPut(uint32_t epoch, Clock::Time now) {
  MutexLock lock(&mu_);
  const absl::Status status = EnterLocked(epoch, now);
  if (status.ok()) ++puts_;
  return status;
}

void Session::EndPut(uint32_t epoch) {
  MutexLock lock(&mu_);
  if (epoch == epoch_) {
    --puts_;
    return;
  }
  if (--older_puts_ == 0) drained_.SignalAll();
}

bool Session::TakePlace(uint32_t most) {
  if (places_.fetch_add(1, std::memory_order_relaxed) < most) return true;
  LeavePlace();
  return false;
}

uint32_t Session::RaiseEpoch() {
  MutexLock lock(&mu_);
  older_puts_ += puts_;
  puts_ = 0;
  return ++epoch_;
}

void Session::LowerEpoch(uint32_t epoch) {
  MutexLock lock(&mu_);
  if (epoch_ == epoch && older_puts_ == 0 && puts_ == 0) --epoch_;
}

bool Session::AwaitOlderPuts(Clock::Time until) {
  MutexLock lock(&mu_);
  while (older_puts_ != 0) {
    if (!drained_.WaitUntil(&mu_, until)) return older_puts_ == 0;
  }
  return true;
}

SessionState Session::StateLocked(Clock::Time now) const {
  if (ended_) return SessionState::kEnded;
  const auto silent = now - heard_;
  if (silent > times_.retention) return SessionState::kOverdue;
  if (silent > std::max(times_.lease, fault_deadline_)) {
    return SessionState::kReclaimable;
  }
  return silent > times_.lease ? SessionState::kExpired : SessionState::kAlive;
}

SessionState Session::StateAt(Clock::Time now) const {
  MutexLock lock(&mu_);
  return StateLocked(now);
}

Clock::Time Session::heard() const {
  MutexLock lock(&mu_);
  return heard_;
}

bool Session::End() {
  MutexLock lock(&mu_);
  return !std::exchange(ended_, true);
}

bool Session::EndIfReclaimable(Clock::Time now) {
  MutexLock lock(&mu_);
  const SessionState state = StateLocked(now);
  if (state != SessionState::kReclaimable && state != SessionState::kOverdue) {
    return false;
  }
  ended_ = true;
  return true;
}

bool SessionTable::Insert(const std::shared_ptr<Session>& session,
                          size_t limit) {
  MutexLock inserting(&insert_mu_);
  if (size() >= limit) return false;
  Shard& shard = ShardOf(session->id());
  MutexLock lock(&shard.mu);
  return shard.sessions.emplace(session->id(), session).second;
}

std::shared_ptr<Session> SessionTable::Find(uint64_t id) const {
  const Shard& shard = ShardOf(id);
  MutexLock lock(&shard.mu);
  const auto it = shard.sessions.find(id);
  return it == shard.sessions.end() ? nullptr : it->second;
}

void SessionTable::Erase(uint64_t id) {
  Shard& shard = ShardOf(id);
  MutexLock lock(&shard.mu);
  shard.sessions.erase(id);
}

std::vector<std::shared_ptr<Session>> SessionTable::All() const {
  std::vector<std::shared_ptr<Session>> all;
  for (const Shard& shard : shards_) {
    MutexLock lock(&shard.mu);
    for (const auto& entry : shard.sessions) all.push_back(entry.second);
  }
  return all;
}

size_t SessionTable::size() const {
  size_t size = 0;
  for (const Shard& shard : shards_) {
    MutexLock lock(&shard.mu);
    size += shard.sessions.size();
  }
  return size;
}

}  // namespace farswap::server

// Sessions: leases, epochs, and the puts under way in each.
//
//   alive --lease over--> expired --lease and fault deadline over-->
//   reclaimable
//     ^----- heard of ------'----------- heard of ---------------------'
//   reclaimable --capacity needed, or retention over, or closed--> ended
//
// 1. An ended session never comes back; whoever holds it is refused.
// 2. A put is admitted only at the session's epoch; when RaiseEpoch and then
//    AwaitOlderPuts have returned, no put of a lower epoch is under way.
//
// Thread-safe. The data path takes one shard's lock and one session's, each
// for a few instructions.
#ifndef FARSWAP_SERVER_SESSION_TABLE_H_
#define FARSWAP_SERVER_SESSION_TABLE_H_

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "common/clock.h"
#include "common/mutex.h"
#include "server/metadata.h"

namespace farswap::server {

struct LeaseTimes {
  std::chrono::milliseconds lease{30'000};
  std::chrono::milliseconds retention{86'400'000};
};

enum class SessionState { kAlive, kExpired, kReclaimable, kOverdue, kEnded };

class Session {
 public:
  Session(const SessionRecord& record, const LeaseTimes& times,
          Clock::Time now);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  uint64_t id() const { return id_; }
  // As it has to be kept durably.
  SessionRecord Record() const;

  // Renews the lease of a live session. Any epoch.
  absl::Status Hear(Clock::Time now);
  // FAILED_PRECONDITION for an ended session or another epoch; else renews.
  absl::Status Enter(uint32_t epoch, Clock::Time now);
  // As Enter; then a put is under way until EndPut with the same epoch.
  absl::Status BeginPut(uint32_t epoch, Clock::Time now);
  void EndPut(uint32_t epoch);

  // Takes one of the session's places for calls under way, of which it has
  // `most`; false if none is left.
  bool TakePlace(uint32_t most);
  void LeavePlace() { places_.fetch_sub(1, std::memory_order_relaxed); }

  // Refuses every earlier epoch from now on; returns the new one.
  uint32_t RaiseEpoch();
  // Takes back the raise to `epoch`, of which nobody was told. Not done, and
  // harmless, if a put of either epoch is under way: its end is counted by
  // the epoch.
  void LowerEpoch(uint32_t epoch);
  // Whether no put of an earlier epoch is under way at `until`.
  bool AwaitOlderPuts(Clock::Time until);

  SessionState StateAt(Clock::Time now) const;
  // When it was last heard of.
  Clock::Time heard() const;
  // Ends it, unless it is ended.
  bool End();
  // Ends it if it is still reclaimable.
  bool EndIfReclaimable(Clock::Time now);

  // Held while the session's clusters change hands: one change at a time.
  // Taken before every other lock; not held on the data path.
  Mutex& ownership_mu() ABSL_LOCK_RETURNED(ownership_mu_) {
    return ownership_mu_;
  }

 private:
  absl::Status EnterLocked(uint32_t epoch, Clock::Time now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  SessionState StateLocked(Clock::Time now) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const uint64_t id_;
  const std::string client_name_;
  const std::chrono::milliseconds fault_deadline_;
  const LeaseTimes times_;

  std::atomic<uint32_t> places_{0};

  Mutex ownership_mu_;

  mutable Mutex mu_;
  CondVar drained_;
  uint32_t epoch_ ABSL_GUARDED_BY(mu_);
  uint32_t puts_ ABSL_GUARDED_BY(mu_) = 0;
  uint32_t older_puts_ ABSL_GUARDED_BY(mu_) = 0;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  Clock::Time heard_ ABSL_GUARDED_BY(mu_);
};

class SessionTable {
 public:
  // False if there are `limit` sessions.
  bool Insert(const std::shared_ptr<Session>& session, size_t limit);
  std::shared_ptr<Session> Find(uint64_t id) const;
  void Erase(uint64_t id);
  std::vector<std::shared_ptr<Session>> All() const;
  size_t size() const;

 private:
  struct Shard {
    mutable Mutex mu;
    absl::flat_hash_map<uint64_t, std::shared_ptr<Session>> sessions
        ABSL_GUARDED_BY(mu);
  };

  // Ids are random: their low bits spread.
  Shard& ShardOf(uint64_t id) { return shards_[id % shards_.size()]; }
  const Shard& ShardOf(uint64_t id) const {
    return shards_[id % shards_.size()];
  }

  std::array<Shard, 16> shards_;
  // Held over a whole Insert, so that the limit is exact; before a shard's.
  Mutex insert_mu_;
};

}  // namespace farswap::server

#endif  // FARSWAP_SERVER_SESSION_TABLE_H_

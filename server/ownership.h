// Who owns what: sessions and grants, changed in memory and durably together.
//
// Order of every change, so that a kill at any point leaves no cluster with
// two owners and no owner with another's bytes:
//   grant    take -> back -> commit -> make it the session's -> answer
//   release  retire (puts and gets refused) -> commit -> last use over ->
//            empty -> free -> answer
// A change whose commit failed has an unknown outcome. What it was about is
// set aside, out of use, and released by Tick once the metadata was reopened.
//
// While the metadata is known not to accept changes, none is begun: what is
// set aside is bounded by the calls that were under way when it failed.
//
// Locks, in this order: a session's ownership_mu, then limbo_mu_, then those
// of the journal, the allocator and the session table, which are leaves.
//
// Thread-safe. Everything here may sync to a disk, but for KeepAlive: not for
// the threads that serve puts and gets.
//
// ownership.cc grants and frees, ownership_sessions.cc opens to closes,
// ownership_reclaim.cc takes from the silent, ownership_limbo.cc releases.
#ifndef FARSWAP_SERVER_OWNERSHIP_H_
#define FARSWAP_SERVER_OWNERSHIP_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/clock.h"
#include "common/mutex.h"
#include "server/cluster_allocator.h"
#include "server/journal.h"
#include "server/metadata.h"
#include "server/pool.h"
#include "server/session_table.h"

namespace farswap::server {

inline constexpr uint32_t kMaxBatchClusters = 256;
inline constexpr size_t kMaxClientNameBytes = 128;
// An older put that is under way copies at most 2 MiB; only a machine that
// stands still takes longer.
inline constexpr std::chrono::milliseconds kDrainBound{5'000};
// Ticks come every second. If one comes later than this the server stood
// still, and its clients' silence was its own.
inline constexpr std::chrono::milliseconds kStallBound{2'000};

class Ownership {
 public:
  struct Options {
    LeaseTimes times;
    std::chrono::milliseconds default_fault_deadline{60'000};
    size_t max_sessions = 4096;
  };
  // What it works on; all of it outlives the Ownership.
  struct Parts {
    Pool* pool = nullptr;
    Journal* journal = nullptr;
    ClusterAllocator* clusters = nullptr;
    SessionTable* sessions = nullptr;
    const Clock* clock = nullptr;
    // Takes lines for the operator.
    std::function<void(const std::string&)> log;
  };
  struct Attachment {
    uint64_t session = 0;
    uint32_t epoch = 0;
  };

  Ownership(const Options& options, const Parts& parts, uint64_t incarnation);
  Ownership(const Ownership&) = delete;
  Ownership& operator=(const Ownership&) = delete;

  // Brings back what was kept, every lease renewed in full, and empties every
  // cluster that nobody owns. Before all else.
  absl::Status Restore(const Contents& contents);

  // The calls of farswap.v1; the .proto files say what each refuses.
  absl::StatusOr<Attachment> Open(const std::string& client_name,
                                  std::chrono::milliseconds fault_deadline);
  absl::StatusOr<Attachment> Attach(uint64_t session, uint64_t incarnation,
                                    Clock::Time until);
  absl::Status KeepAlive(uint64_t session, uint32_t epoch);
  absl::StatusOr<uint32_t> Close(uint64_t session, uint32_t epoch);
  absl::StatusOr<std::vector<GrantRecord>> Allocate(uint64_t session,
                                                    uint32_t epoch,
                                                    uint64_t request,
                                                    uint32_t count);
  absl::StatusOr<uint32_t> Free(uint64_t session, uint32_t epoch,
                                absl::Span<const GrantRecord> grants);

  // What time brings: reopens the metadata after a failure, releases what was
  // set aside, ends sessions whose retention is over, and silent ones that
  // own nothing. To be called about once a second, by one thread.
  void Tick();

  // No new sessions or grants.
  void Drain() { draining_ = true; }
  bool draining() const { return draining_; }

  uint64_t incarnation() const { return incarnation_; }
  const Options& options() const { return options_; }
  // Clusters out of use until the metadata is reopened or their last use ends.
  size_t limbo_clusters() const;

 private:
  // What is out of use. `committed`: the metadata knows; what is left is to
  // empty the clusters and make them free.
  struct Limbo {
    std::vector<GrantRecord> grants;
    std::vector<uint64_t> sessions;
    bool committed = false;
  };
  // What became of an attempt to take a session. After kFailed no other is
  // tried: whatever it was would end one silent session after another.
  enum class Reclaimed { kReleased, kNotTaken, kFailed };
  using Sessions = std::vector<std::shared_ptr<Session>>;

  // Puts a new session into the table, if need be for one that fell silent.
  bool Admit(const SessionRecord& record);
  absl::StatusOr<std::shared_ptr<Session>> FindAndEnter(uint64_t session,
                                                        uint32_t epoch);
  // Makes the grants durable and the session's.
  absl::StatusOr<std::vector<GrantRecord>> Grant(
      uint64_t session, uint64_t request,
      const std::vector<uint64_t>& clusters);
  // Takes and backs up to `count` clusters, from ended leases if need be.
  std::vector<uint64_t> TakeBacked(uint32_t count);
  std::vector<uint64_t> TakeBackedOnce(uint32_t count);
  // Next generations; the change makes their reservation durable if needed.
  uint64_t ReserveGenerations(uint64_t count, Change* change);

  // Whether a session that is silent at `now` may be ended for that.
  bool MayReclaim(Clock::Time now) const;
  // Reclaimable sessions, those that were silent longest first.
  Sessions Reclaimable(bool owners_only) const;
  // Takes the first of these.
  Reclaimed ReclaimOne(bool owners_only);
  Reclaimed Reclaim(const std::shared_ptr<Session>& session);
  void EndOverdue(const Sessions& silent);
  void EndThoseThatOwnNothing(const Sessions& silent);
  bool EndIfItOwnsNothing(const std::shared_ptr<Session>& session);
  // Notices when the server stood still since the last call.
  void Beat();

  // Ends the session, which is marked ended and whose ownership_mu is held.
  absl::StatusOr<uint32_t> Release(const std::shared_ptr<Session>& session);
  // Commits, empties, frees; sets aside what cannot be finished.
  absl::Status Finish(Limbo limbo);
  absl::Status CommitRelease(const Limbo& limbo);
  // What cannot be emptied stays in `limbo`, the rest is free.
  absl::Status EmptyAndReturn(Limbo* limbo);
  absl::Status ScrubAndReturn(std::vector<GrantRecord> grants,
                              std::vector<GrantRecord>* left);
  void SetAside(Limbo limbo);
  void RetryLimbo();
  // What to answer to a repeated call: whether an earlier release of these
  // grants, or of all the session's, is still to be finished.
  absl::Status Unfinished(uint64_t session,
                          absl::Span<const GrantRecord> grants) const;
  // False while the metadata does not accept changes.
  bool MendMetadata();

  const Options options_;
  const Parts parts_;
  const uint64_t incarnation_;
  std::atomic<bool> draining_{false};

  // The last Beat, and from when on silence counts. The second is written
  // first and read last: who sees the beat after a stall sees both.
  std::atomic<Clock::Time> beat_;
  std::atomic<Clock::Time> reclaim_from_;

  Mutex generation_mu_;
  uint64_t next_generation_ ABSL_GUARDED_BY(generation_mu_) = 0;
  // Durable: Restore and the commits that carry it see to that.
  uint64_t generation_bound_ ABSL_GUARDED_BY(generation_mu_) = 0;

  mutable Mutex limbo_mu_;
  // Only appended to, but for RetryLimbo, which leaves an entry here until it
  // is done: a repeated call has to find it.
  std::vector<Limbo> limbo_ ABSL_GUARDED_BY(limbo_mu_);
};

}  // namespace farswap::server

#endif  // FARSWAP_SERVER_OWNERSHIP_H_

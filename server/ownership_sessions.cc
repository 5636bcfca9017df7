// Ownership: sessions, from their opening to their end.
#include <sys/random.h>

#include <algorithm>

#include "server/error.h"
#include "server/ownership.h"

namespace farswap::server {
namespace {

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

absl::Status CheckOpen(const std::string& client_name,
                       std::chrono::milliseconds fault_deadline,
                       std::chrono::milliseconds retention) {
  if (client_name.size() > kMaxClientNameBytes) {
    return Malformed("client_name is longer than 128 bytes");
  }
  if (fault_deadline.count() < 0) {
    return Malformed("fault_deadline is negative");
  }
  if (fault_deadline > retention) {
    return Malformed(
        "fault_deadline is beyond the server's retention: nothing is kept "
        "for longer than that");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Ownership::Attachment> Ownership::Open(
    const std::string& client_name, std::chrono::milliseconds fault_deadline) {
  if (draining()) return Refuse(Reason::kDraining, "the server is stopping");
  absl::Status status =
      CheckOpen(client_name, fault_deadline, options_.times.retention);
  if (status.ok()) status = parts_.journal->Writable();
  if (!status.ok()) return status;
  if (fault_deadline.count() == 0) {
    fault_deadline = options_.default_fault_deadline;
  }
  const absl::StatusOr<uint64_t> id = NewSessionId();
  if (!id.ok()) return id.status();
  const SessionRecord record{
      *id, 1, static_cast<uint64_t>(fault_deadline.count()), client_name};
  if (!Admit(record)) {
    return Refuse(Reason::kLimit, "the server has no room for more sessions");
  }
  Change change;
  change.put_sessions.push_back(record);
  status = parts_.journal->Commit(change);
  if (status.ok()) return Attachment{*id, 1};
  parts_.sessions->Erase(*id);
  SetAside(Limbo{{}, {*id}, false});
  return status;
}

// Nobody knows the id yet: what the limit admits can be kept or dropped.
bool Ownership::Admit(const SessionRecord& record) {
  const auto session =
      std::make_shared<Session>(record, options_.times, parts_.clock->Now());
  if (parts_.sessions->Insert(session, options_.max_sessions)) return true;
  // A client that has gone must not keep one out that has come.
  ReclaimOne(/*owners_only=*/false);
  return parts_.sessions->Insert(session, options_.max_sessions);
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
  if (session == 0) return Malformed("session_id is missing");
  if (epoch == 0) return Malformed("epoch is missing");
  const std::shared_ptr<Session> found = parts_.sessions->Find(session);
  if (found != nullptr) {
    // Held while the session is released: a repeated call waits for that.
    MutexLock lock(&found->ownership_mu());
    absl::Status status = found->Enter(epoch, parts_.clock->Now());
    if (status.ok()) status = parts_.journal->Writable();
    if (status.ok()) {
      found->End();
      return Release(found);
    }
    if (ReasonOf(status) != Reason::kUnknownSession) return status;
  }
  const absl::Status unfinished = Unfinished(session, {});
  if (!unfinished.ok()) return unfinished;
  return 0;
}

}  // namespace farswap::server

#include "server/journal.h"

#include <chrono>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "server/error.h"

namespace farswap::server {
namespace {

absl::Status Unavailable(std::string_view why) {
  return Refuse(
      Reason::kMetadataUnavailable,
      "the metadata store does not accept changes: " + std::string(why));
}

}  // namespace

absl::Status Journal::Commit(const Change& change) {
  Waiter waiter{&change};
  std::vector<Waiter*> group;
  uint64_t sequence;
  {
    MutexLock lock(&mu_);
    queue_.push_back(&waiter);
    while (!waiter.done && queue_.front() != &waiter) turn_.Wait(&mu_);
    if (waiter.done) return waiter.status;
    group.assign(queue_.begin(), queue_.end());
    sequence = ++sequence_;
  }
  CommitGroup(group, sequence);
  MutexLock lock(&mu_);
  for (Waiter* member : group) {
    member->done = true;
    queue_.pop_front();
  }
  turn_.SignalAll();
  return waiter.status;
}

void Journal::CommitGroup(const std::vector<Waiter*>& group,
                          uint64_t sequence) {
  std::string why = problem();
  if (why.empty()) {
    std::vector<const Change*> changes;
    for (const Waiter* member : group) changes.push_back(member->change);
    MutexLock lock(&metadata_mu_);
    pool_->SetIntended(sequence);
    attempted_ = sequence;
    const auto start = std::chrono::steady_clock::now();
    const absl::Status written = metadata_->Write(changes, sequence);
    if (on_sync_) on_sync_(std::chrono::steady_clock::now() - start);
    if (written.ok()) {
      pool_->SetCommitted(sequence);
      committed_ = sequence;
    } else {
      why = std::string(written.message());
      if (why.empty()) why = "write failed";
      MutexLock latch(&mu_);
      problem_ = why;
    }
  }
  // One each, not one for all: TSan does not see how the system's absl::Status
  // counts those who share it.
  for (Waiter* member : group) {
    member->status = why.empty() ? absl::OkStatus() : Unavailable(why);
  }
}

absl::StatusOr<std::vector<GrantRecord>> Journal::FindRequest(
    uint64_t session, uint64_t request) {
  MutexLock lock(&metadata_mu_);
  auto found = metadata_->FindRequest(session, request);
  if (found.ok()) return found;
  const std::string why(found.status().message());
  return Unavailable(why);
}

std::string Journal::problem() const {
  MutexLock lock(&mu_);
  return problem_;
}

absl::Status Journal::Writable() const {
  const std::string why = problem();
  return why.empty() ? absl::OkStatus() : Unavailable(why);
}

size_t Journal::waiting() const {
  MutexLock lock(&mu_);
  return queue_.size();
}

absl::Status Journal::CheckReopened(const Identity& found) const {
  std::string why;
  if (found.server_id != server_id_) {
    why = "it is another server's, " + found.server_id;
  } else if (found.incarnation != incarnation_) {
    why = "it is of another incarnation";
  } else if (found.sequence < committed_ || found.sequence > attempted_) {
    why = absl::StrCat("its sequence number is ", found.sequence, ", not ",
                       committed_, " to ", attempted_);
  }
  if (why.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "the metadata that was found is not what this server wrote (", why,
      "): put the right one back, or restart farswap-server to begin with "
      "what is there"));
}

absl::Status Journal::Reopen() {
  MutexLock lock(&metadata_mu_);
  const absl::StatusOr<Identity> found = metadata_->Reopen();
  const absl::Status status =
      found.ok() ? CheckReopened(*found) : found.status();
  if (status.ok()) {
    committed_ = found->sequence;
    pool_->SetCommitted(committed_);
  } else {
    metadata_->Close();
  }
  MutexLock latch(&mu_);
  problem_ = status.ok() ? "" : std::string(status.message());
  return status;
}

}  // namespace farswap::server

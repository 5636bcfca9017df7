#include "server/storage.h"

#include <sys/random.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/incarnation.h"

namespace farswap::server {
namespace {

std::string Hex(uint64_t number) {
  char digits[17];
  std::snprintf(digits, sizeof(digits), "%016" PRIx64, number);
  return digits;
}

// Before anything is written: a refused start changes nothing.
absl::Status CheckCapacity(const Contents& contents, uint64_t clusters) {
  uint64_t needed = 0;
  for (const GrantRecord& grant : contents.grants) {
    needed = std::max(needed, grant.cluster + 1);
  }
  if (needed <= clusters) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("--capacity is too small: cluster ", needed - 1,
                   " is granted; write at least ", needed * 2, "MiB"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Storage>> Storage::Open(
    const Options& options, std::unique_ptr<Metadata> metadata,
    const Clock* clock) {
  std::unique_ptr<Storage> storage(new Storage());
  auto pool = Pool::Open(options.pool);
  if (!pool.ok()) return pool.status();
  storage->pool_ = *std::move(pool);
  storage->metadata_ = std::move(metadata);
  auto contents = storage->metadata_->Load();
  if (!contents.ok()) return contents.status();
  absl::Status status = storage->Reconcile(options.log, &*contents);
  if (!status.ok()) return status;
  status = storage->Build(options, *contents, clock);
  if (status.ok()) return storage;
  // Nobody has touched the pool: a start that was refused must not cost a
  // file on a disk its word that it was written out.
  storage->pool_->MarkClean().IgnoreError();
  return status;
}

absl::Status Storage::Build(const Options& options, const Contents& contents,
                            const Clock* clock) {
  server_id_ = contents.identity.server_id;
  journal_ = std::make_unique<Journal>(metadata_.get(), pool_.get(),
                                       contents.identity);
  clusters_ = std::make_unique<ClusterAllocator>(pool_->clusters());
  ownership_ = std::make_unique<Ownership>(
      options.ownership,
      Ownership::Parts{pool_.get(), journal_.get(), clusters_.get(), &sessions_,
                       clock, options.log},
      contents.identity.incarnation);
  absl::Status status = ownership_->Restore(contents);
  // One number further with every start: a copy of the pool's file that was
  // made in an earlier life is then told from the file itself.
  if (status.ok()) status = journal_->Commit(Change{});
  if (!status.ok()) return status;
  folios_ = std::make_unique<FolioStore>(pool_.get(), clusters_.get(),
                                         &sessions_, clock);
  return absl::OkStatus();
}

absl::Status Storage::Reconcile(
    const std::function<void(const std::string&)>& log, Contents* contents) {
  const std::string why = WhyNewIncarnation(pool_->facts(), contents->identity,
                                            contents->grants.size());
  if (why.empty()) {
    const absl::Status status = CheckCapacity(*contents, pool_->clusters());
    if (!status.ok()) return status;
    log("incarnation " + Hex(contents->identity.incarnation) +
        " continues: " + std::to_string(contents->sessions.size()) +
        " sessions, " + std::to_string(contents->grants.size()) + " clusters");
    return pool_->Adopt(contents->identity.sequence);
  }
  const size_t lost = contents->grants.size();
  const absl::Status status = BeginIncarnation(contents);
  if (!status.ok()) return status;
  log("new incarnation " + Hex(contents->identity.incarnation) + ": " + why +
      (lost == 0 ? ""
                 : "; " + std::to_string(lost) +
                       " clusters are lost, and their clients are told"));
  return absl::OkStatus();
}

absl::Status Storage::BeginIncarnation(Contents* contents) {
  uint64_t incarnation = 0;
  while (incarnation == 0) {
    if (getrandom(&incarnation, sizeof(incarnation), 0) !=
        sizeof(incarnation)) {
      return absl::InternalError("the kernel gave no random bytes");
    }
  }
  Identity& identity = contents->identity;
  Change change;
  change.new_incarnation = incarnation;
  identity.incarnation = incarnation;
  ++identity.sequence;
  contents->sessions.clear();
  contents->grants.clear();
  absl::Status status = pool_->Erase();
  if (!status.ok()) return status;
  status = metadata_->Write({&change}, identity.sequence);
  if (!status.ok()) return status;
  return pool_->Format(identity.server_id, incarnation, identity.sequence);
}

}  // namespace farswap::server

#include "server/storage.h"

#include <sys/random.h>

#include <cinttypes>
#include <cstdio>
#include <utility>

#include "server/incarnation.h"

namespace farswap::server {
namespace {

std::string Hex(uint64_t number) {
  char digits[17];
  std::snprintf(digits, sizeof(digits), "%016" PRIx64, number);
  return digits;
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
  storage->server_id_ = contents->identity.server_id;
  storage->journal_ =
      std::make_unique<Journal>(storage->metadata_.get(), storage->pool_.get(),
                                contents->identity.sequence);
  storage->clusters_ =
      std::make_unique<ClusterAllocator>(storage->pool_->clusters());
  storage->ownership_ = std::make_unique<Ownership>(
      options.ownership,
      Ownership::Parts{storage->pool_.get(), storage->journal_.get(),
                       storage->clusters_.get(), &storage->sessions_, clock,
                       options.log},
      contents->identity.incarnation);
  status = storage->ownership_->Restore(*contents);
  if (!status.ok()) return status;
  // One number further with every start: a copy of the pool's file that was
  // made in an earlier life is then told from the file itself.
  status = storage->journal_->Commit(Change{});
  if (!status.ok()) return status;
  storage->folios_ = std::make_unique<FolioStore>(storage->pool_.get(),
                                                  storage->clusters_.get(),
                                                  &storage->sessions_, clock);
  return storage;
}

absl::Status Storage::Reconcile(
    const std::function<void(const std::string&)>& log, Contents* contents) {
  const std::string why = WhyNewIncarnation(pool_->facts(), contents->identity,
                                            contents->grants.size());
  if (why.empty()) {
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

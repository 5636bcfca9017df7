// Pool, metadata and what is built on them, opened together: the decision
// whether a pool's bytes are those the metadata speaks of is made here.
#ifndef FARSWAP_SERVER_STORAGE_H_
#define FARSWAP_SERVER_STORAGE_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/clock.h"
#include "server/cluster_allocator.h"
#include "server/folio_store.h"
#include "server/journal.h"
#include "server/metadata.h"
#include "server/ownership.h"
#include "server/pool.h"
#include "server/session_table.h"

namespace farswap::server {

class Storage {
 public:
  struct Options {
    Pool::Options pool;
    Ownership::Options ownership;
    // Takes lines for the operator.
    std::function<void(const std::string&)> log;
  };

  // Brings everything back, or begins a new incarnation and says why.
  // `clock` outlives the storage.
  static absl::StatusOr<std::unique_ptr<Storage>> Open(
      const Options& options, std::unique_ptr<Metadata> metadata,
      const Clock* clock);

  // After the last call: what was stored is written out.
  absl::Status Close() { return pool_->MarkClean(); }

  const std::string& server_id() const { return server_id_; }
  Pool& pool() { return *pool_; }
  Journal& journal() { return *journal_; }
  ClusterAllocator& clusters() { return *clusters_; }
  SessionTable& sessions() { return sessions_; }
  Ownership& ownership() { return *ownership_; }
  const FolioStore& folios() const { return *folios_; }

 private:
  Storage() = default;

  // What is built on pool and metadata once they are one.
  absl::Status Build(const Options& options, const Contents& contents,
                     const Clock* clock);
  // Makes pool and metadata one; updates `contents` to what then holds.
  absl::Status Reconcile(const std::function<void(const std::string&)>& log,
                         Contents* contents);
  absl::Status BeginIncarnation(Contents* contents);

  std::string server_id_;
  std::unique_ptr<Pool> pool_;
  std::unique_ptr<Metadata> metadata_;
  std::unique_ptr<Journal> journal_;
  std::unique_ptr<ClusterAllocator> clusters_;
  SessionTable sessions_;
  std::unique_ptr<Ownership> ownership_;
  std::unique_ptr<FolioStore> folios_;
};

}  // namespace farswap::server

#endif  // FARSWAP_SERVER_STORAGE_H_

// Metadata in RocksDB, in DIR/metadata. The only place that knows RocksDB.
//
// RocksDB locks the directory against a second server. A record is verified
// when it is read; the identity's format is checked before anything else is.
#ifndef FARSWAP_SERVER_METADATA_STORE_H_
#define FARSWAP_SERVER_METADATA_STORE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/metadata.h"

namespace farswap::server {

class MetadataStore : public Metadata {
 public:
  // Opens the store in `data_dir`, making both if they do not exist. A
  // directory that is foreign, newer, damaged or in use is refused in one
  // line that says what to do.
  static absl::StatusOr<std::unique_ptr<MetadataStore>> Open(
      const std::string& data_dir);

  ~MetadataStore() override;

  absl::StatusOr<Contents> Load() override;
  absl::Status Write(const std::vector<const Change*>& changes,
                     uint64_t sequence) override;
  absl::StatusOr<std::vector<GrantRecord>> FindRequest(
      uint64_t session, uint64_t request) override;
  absl::StatusOr<Identity> Reopen() override;
  void Close() override;

 private:
  // The database and its column families.
  struct Db;

  explicit MetadataStore(std::string data_dir);

  // `create`: makes what does not exist.
  absl::Status OpenDb(bool create);
  // False if the store is empty.
  absl::StatusOr<bool> LoadIdentity();
  // In an empty store.
  absl::Status MakeIdentity();

  const std::string data_dir_;
  std::unique_ptr<Db> db_;
  // As last written. Write is the journal's alone, one call at a time.
  Identity identity_;
};

}  // namespace farswap::server

#endif  // FARSWAP_SERVER_METADATA_STORE_H_

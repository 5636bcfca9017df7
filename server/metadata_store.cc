#include "server/metadata_store.h"

#include <dirent.h>
#include <rocksdb/db.h>
#include <rocksdb/options.h>
#include <rocksdb/write_batch.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "server/metadata_format.h"

namespace farswap::server {
namespace {

using Handles = std::vector<rocksdb::ColumnFamilyHandle*>;

// In the order of Db's members.
const char* const kFamilies[] = {"default", "sessions", "grants"};

rocksdb::Options StoreOptions() {
  rocksdb::Options options;
  options.paranoid_checks = true;
  // A torn end of the log is a change that was never acknowledged: dropped.
  // That nothing older went with it is checked by the sequence number.
  options.wal_recovery_mode = rocksdb::WALRecoveryMode::kPointInTimeRecovery;
  // 64 bytes a grant: 4 MiB hold the grants of a 128 GiB server.
  options.write_buffer_size = 4 << 20;
  options.max_open_files = 64;
  options.max_background_jobs = 2;
  options.info_log_level = rocksdb::InfoLogLevel::WARN_LEVEL;
  options.keep_log_file_num = 2;
  return options;
}

std::string_view View(const rocksdb::Slice& slice) {
  return {slice.data(), slice.size()};
}

std::string NewServerId() {
  unsigned char bytes[16];
  std::string id;
  if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes)) return id;
  char digits[3];
  for (const unsigned char byte : bytes) {
    std::snprintf(digits, sizeof(digits), "%02x", byte);
    id += digits;
  }
  return id;
}

absl::Status MakeDirectory(const std::string& dir) {
  struct stat info;
  if (mkdir(dir.c_str(), 0700) == 0) return absl::OkStatus();
  if (errno == EEXIST && stat(dir.c_str(), &info) == 0 &&
      S_ISDIR(info.st_mode) && access(dir.c_str(), R_OK | W_OK | X_OK) == 0) {
    return absl::OkStatus();
  }
  if (errno == EEXIST) errno = ENOTDIR;
  return absl::FailedPreconditionError(absl::StrCat(
      "cannot use the data directory ", dir, ": ", std::strerror(errno),
      "; name a directory that can be written"));
}

absl::Status Foreign(const std::string& dir) {
  return absl::FailedPreconditionError(
      absl::StrCat(dir,
                   "/metadata was not made by farswap-server: name another "
                   "--data-dir, or remove it"));
}

absl::Status Damaged(const std::string& dir, absl::string_view what) {
  return absl::DataLossError(absl::StrCat(
      "the metadata in ", dir, " is damaged (", what,
      "): restore a backup of it, or remove ", dir,
      "/metadata to begin anew, with every client told of its loss"));
}

absl::Status Newer(const std::string& dir) {
  return absl::FailedPreconditionError(
      absl::StrCat("the metadata in ", dir,
                   " was written by a newer farswap-server: run that one, or "
                   "name another --data-dir"));
}

// What to tell of a record that cannot be read.
absl::Status Explain(const std::string& dir, const absl::Status& status) {
  if (absl::IsUnimplemented(status)) return Newer(dir);
  return Damaged(dir, status.message());
}

absl::Status OpenFailure(const std::string& dir, const rocksdb::Status& s) {
  const std::string text = s.ToString();
  // What RocksDB says when flock fails, and when this process has it itself.
  if (s.IsIOError() &&
      (text.find("While lock file: ") != std::string::npos ||
       text.find("lock hold by current process") != std::string::npos)) {
    return absl::FailedPreconditionError(
        absl::StrCat("another farswap-server uses the data directory ", dir,
                     ": stop it, or name another --data-dir"));
  }
  if (s.IsCorruption()) return Damaged(dir, text);
  return absl::UnavailableError(
      absl::StrCat("cannot open the metadata in ", dir, ": ", text));
}

// Whether a directory without RocksDB's CURRENT file holds nothing but what a
// first start leaves that was killed before it had made that file.
bool IsUnfinished(const std::string& path) {
  DIR* const dir = opendir(path.c_str());
  if (dir == nullptr) return errno == ENOENT;
  bool ours = true;
  while (const dirent* entry = readdir(dir)) {
    const std::string_view name = entry->d_name;
    ours = ours && (name == "." || name == ".." || name == "LOCK" ||
                    name.starts_with("LOG") || name.starts_with("MANIFEST-") ||
                    name.ends_with(".dbtmp") || name == "IDENTITY");
  }
  closedir(dir);
  return ours;
}

// A store that lacks some of our families: either its first start was killed,
// and its default family is empty, or it is another program's.
absl::Status CheckBlank(const std::string& data_dir, const std::string& path) {
  rocksdb::DB* raw = nullptr;
  const rocksdb::Status s =
      rocksdb::DB::OpenForReadOnly(StoreOptions(), path, &raw);
  if (!s.ok()) return OpenFailure(data_dir, s);
  const std::unique_ptr<rocksdb::DB> db(raw);
  const std::unique_ptr<rocksdb::Iterator> it(
      db->NewIterator(rocksdb::ReadOptions()));
  it->SeekToFirst();
  if (it->Valid()) return Foreign(data_dir);
  return it->status().ok() ? absl::OkStatus()
                           : OpenFailure(data_dir, it->status());
}

// Refuses a directory that is not ours before RocksDB touches it.
absl::Status CheckFamilies(const std::string& data_dir,
                           const std::string& path) {
  if (access((path + "/CURRENT").c_str(), F_OK) != 0) {
    return IsUnfinished(path) ? absl::OkStatus() : Foreign(data_dir);
  }
  std::vector<std::string> names;
  const rocksdb::Status s =
      rocksdb::DB::ListColumnFamilies(StoreOptions(), path, &names);
  if (!s.ok()) return OpenFailure(data_dir, s);
  size_t known = 0;
  for (const char* family : kFamilies) {
    known += std::count(names.begin(), names.end(), family);
  }
  if (known == std::size(kFamilies)) {
    return names.size() == known ? absl::OkStatus() : Newer(data_dir);
  }
  return names.size() == known ? CheckBlank(data_dir, path) : Foreign(data_dir);
}

void AddToBatch(const Change& change, rocksdb::ColumnFamilyHandle* sessions,
                rocksdb::ColumnFamilyHandle* grants,
                rocksdb::WriteBatch* batch) {
  if (change.new_incarnation.has_value()) {
    // No session has the highest id, nor any grant a key beyond it.
    const std::string end = SessionKey(~uint64_t{0});
    batch->DeleteRange(sessions, SessionKey(0), end);
    batch->DeleteRange(grants, SessionKey(0), end);
  }
  for (const uint64_t id : change.end_sessions) {
    batch->Delete(sessions, SessionKey(id));
    batch->DeleteRange(grants, SessionKey(id), SessionKey(id + 1));
  }
  for (const SessionRecord& session : change.put_sessions) {
    batch->Put(sessions, SessionKey(session.id), EncodeSession(session));
  }
  for (const GrantRecord& grant : change.frees) {
    batch->Delete(grants, GrantKey(grant));
  }
  for (const GrantRecord& grant : change.grants) {
    batch->Put(grants, GrantKey(grant), EncodeGrant(grant));
  }
}

}  // namespace

struct MetadataStore::Db {
  ~Db() {
    for (rocksdb::ColumnFamilyHandle* handle : handles) {
      db->DestroyColumnFamilyHandle(handle);
    }
  }

  rocksdb::ColumnFamilyHandle* sessions() { return handles[1]; }
  rocksdb::ColumnFamilyHandle* grants() { return handles[2]; }

  std::unique_ptr<rocksdb::DB> db;
  Handles handles;
};

MetadataStore::MetadataStore(std::string data_dir)
    : data_dir_(std::move(data_dir)) {}

MetadataStore::~MetadataStore() = default;

absl::StatusOr<std::unique_ptr<MetadataStore>> MetadataStore::Open(
    const std::string& data_dir) {
  absl::Status status = MakeDirectory(data_dir);
  if (!status.ok()) return status;
  std::unique_ptr<MetadataStore> store(new MetadataStore(data_dir));
  status = store->OpenDb(/*create=*/true);
  if (!status.ok()) return status;
  const absl::StatusOr<bool> found = store->LoadIdentity();
  if (!found.ok()) return found.status();
  if (!*found) status = store->MakeIdentity();
  if (!status.ok()) return status;
  return store;
}

absl::StatusOr<Identity> MetadataStore::Reopen() {
  const absl::Status status = OpenDb(/*create=*/false);
  if (!status.ok()) return status;
  const absl::StatusOr<bool> found = LoadIdentity();
  if (found.ok() && *found) return identity_;
  db_.reset();
  if (!found.ok()) return found.status();
  return Damaged(data_dir_, "it says no longer whose it is");
}

void MetadataStore::Close() { db_.reset(); }

absl::Status MetadataStore::OpenDb(bool create) {
  db_.reset();
  const std::string path = data_dir_ + "/metadata";
  absl::Status status = CheckFamilies(data_dir_, path);
  if (!status.ok()) return status;
  std::vector<rocksdb::ColumnFamilyDescriptor> families;
  for (const char* name : kFamilies) {
    families.emplace_back(name, rocksdb::ColumnFamilyOptions(StoreOptions()));
  }
  auto db = std::make_unique<Db>();
  rocksdb::DB* raw = nullptr;
  rocksdb::Options options = StoreOptions();
  options.create_if_missing = create;
  options.create_missing_column_families = create;
  const rocksdb::Status s =
      rocksdb::DB::Open(options, path, families, &db->handles, &raw);
  if (!s.ok()) return OpenFailure(data_dir_, s);
  db->db.reset(raw);
  db_ = std::move(db);
  return absl::OkStatus();
}

absl::Status MetadataStore::MakeIdentity() {
  identity_ = Identity{};
  identity_.server_id = NewServerId();
  return Write({}, 0);
}

absl::StatusOr<bool> MetadataStore::LoadIdentity() {
  std::string value;
  const rocksdb::Status s = db_->db->Get(
      rocksdb::ReadOptions(),
      rocksdb::Slice(kIdentityKey.data(), kIdentityKey.size()), &value);
  if (s.IsNotFound()) {
    std::unique_ptr<rocksdb::Iterator> any(
        db_->db->NewIterator(rocksdb::ReadOptions()));
    any->SeekToFirst();
    if (any->Valid()) return Foreign(data_dir_);
    return false;
  }
  if (!s.ok()) return OpenFailure(data_dir_, s);
  absl::StatusOr<Identity> identity = DecodeIdentity(value);
  if (!identity.ok()) return Explain(data_dir_, identity.status());
  identity_ = *std::move(identity);
  return true;
}

absl::StatusOr<Contents> MetadataStore::Load() {
  Contents contents;
  contents.identity = identity_;
  std::unique_ptr<rocksdb::Iterator> it(
      db_->db->NewIterator(rocksdb::ReadOptions(), db_->sessions()));
  for (it->SeekToFirst(); it->Valid(); it->Next()) {
    auto session = DecodeSession(View(it->key()), View(it->value()));
    if (!session.ok()) return Explain(data_dir_, session.status());
    contents.sessions.push_back(*std::move(session));
  }
  if (!it->status().ok()) return Damaged(data_dir_, it->status().ToString());
  it.reset(db_->db->NewIterator(rocksdb::ReadOptions(), db_->grants()));
  for (it->SeekToFirst(); it->Valid(); it->Next()) {
    auto grant = DecodeGrant(View(it->key()), View(it->value()));
    if (!grant.ok()) return Explain(data_dir_, grant.status());
    contents.grants.push_back(*grant);
  }
  if (!it->status().ok()) return Damaged(data_dir_, it->status().ToString());
  return contents;
}

absl::Status MetadataStore::Write(const std::vector<const Change*>& changes,
                                  uint64_t sequence) {
  if (db_ == nullptr) return absl::UnavailableError("the store is closed");
  Identity next = identity_;
  next.sequence = sequence;
  rocksdb::WriteBatch batch;
  for (const Change* change : changes) {
    AddToBatch(*change, db_->sessions(), db_->grants(), &batch);
    next.incarnation = change->new_incarnation.value_or(next.incarnation);
    next.generation_bound =
        std::max(next.generation_bound, change->generation_bound.value_or(0));
  }
  batch.Put(rocksdb::Slice(kIdentityKey.data(), kIdentityKey.size()),
            EncodeIdentity(next));
  rocksdb::WriteOptions options;
  options.sync = true;
  const rocksdb::Status s = db_->db->Write(options, &batch);
  if (!s.ok()) return absl::UnavailableError(s.ToString());
  identity_ = std::move(next);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<GrantRecord>> MetadataStore::FindRequest(
    uint64_t session, uint64_t request) {
  if (db_ == nullptr) return absl::UnavailableError("the store is closed");
  std::vector<GrantRecord> found;
  const std::string prefix = RequestPrefix(session, request);
  std::unique_ptr<rocksdb::Iterator> it(
      db_->db->NewIterator(rocksdb::ReadOptions(), db_->grants()));
  for (it->Seek(prefix); it->Valid() && it->key().starts_with(prefix);
       it->Next()) {
    auto grant = DecodeGrant(View(it->key()), View(it->value()));
    if (!grant.ok()) return Explain(data_dir_, grant.status());
    found.push_back(*grant);
  }
  if (!it->status().ok()) {
    return absl::UnavailableError(it->status().ToString());
  }
  return found;
}

}  // namespace farswap::server

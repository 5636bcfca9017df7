// What the server keeps durably: who it is, its sessions, its grants.
//
// The cluster is the unit of everything durable. Nothing is written on put or
// get; one Change, written and synced as a whole or not at all, is written
// for every change of ownership. Two implementations: MetadataStore (RocksDB)
// and the tests' MemoryMetadata.
#ifndef FARSWAP_SERVER_METADATA_H_
#define FARSWAP_SERVER_METADATA_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace farswap::server {

struct Identity {
  // 32 hexadecimal digits, made with the data directory.
  std::string server_id;
  // One life of the pool; 0 until the first is begun.
  uint64_t incarnation = 0;
  // Of the last change written. Each change has a higher one.
  uint64_t sequence = 0;
  // No generation at or above this was ever used.
  uint64_t generation_bound = 1;

  friend bool operator==(const Identity&, const Identity&) = default;
};

struct SessionRecord {
  uint64_t id = 0;
  uint32_t epoch = 1;
  uint64_t fault_deadline_ms = 0;
  std::string client_name;

  friend bool operator==(const SessionRecord&, const SessionRecord&) = default;
};

struct GrantRecord {
  uint64_t session = 0;
  // Of the AllocateClusters call that granted it: a repeat finds it.
  uint64_t request = 0;
  uint64_t cluster = 0;
  uint64_t generation = 0;

  friend bool operator==(const GrantRecord&, const GrantRecord&) = default;
};

// Applied in the order of the members.
struct Change {
  // Drops every session and grant, and begins an incarnation.
  std::optional<uint64_t> new_incarnation;
  std::optional<uint64_t> generation_bound;
  // Sessions that end, with every grant they have.
  std::vector<uint64_t> end_sessions;
  std::vector<SessionRecord> put_sessions;
  std::vector<GrantRecord> frees;
  std::vector<GrantRecord> grants;
};

struct Contents {
  Identity identity;
  std::vector<SessionRecord> sessions;
  std::vector<GrantRecord> grants;
};

// Thread-safe, but for Reopen and Close, which need every other call to be
// over.
class Metadata {
 public:
  Metadata() = default;
  Metadata(const Metadata&) = delete;
  Metadata& operator=(const Metadata&) = delete;
  virtual ~Metadata() = default;

  // Everything there is. DATA_LOSS if a record is damaged.
  virtual absl::StatusOr<Contents> Load() = 0;

  // Writes and syncs `changes`, one after another, as one. After a failure it
  // is not known whether they are kept.
  virtual absl::Status Write(const std::vector<const Change*>& changes,
                             uint64_t sequence) = 0;

  // The grants that this session's request was given and still has.
  virtual absl::StatusOr<std::vector<GrantRecord>> FindRequest(
      uint64_t session, uint64_t request) = 0;

  // Closes and opens the store again, after a failed Write, and says whose it
  // is: a directory can have been exchanged meanwhile. Makes nothing anew.
  virtual absl::StatusOr<Identity> Reopen() = 0;
  // Until the next Reopen. What is open and not ours is not to be kept open:
  // RocksDB, when it closes, removes files from its directory that it does not
  // know, and by then they may be the right ones, put back.
  virtual void Close() = 0;
};

}  // namespace farswap::server

#endif  // FARSWAP_SERVER_METADATA_H_

// The memory that is lent: one mapping, cluster i at i * 2 MiB.
//
// The mapping is address space only: a cluster that was never granted costs
// nothing. Backing is allocated before a cluster is granted, so that a full
// tmpfs is an error of the grant and never a SIGBUS in a memcpy; it is given
// back, and the bytes with it, when a cluster is freed, so that the next owner
// reads zeros.
//
// Thread-safe. Who may touch which cluster is the allocator's affair.
#ifndef FARSWAP_SERVER_POOL_H_
#define FARSWAP_SERVER_POOL_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/units.h"
#include "server/pool_header.h"

namespace farswap::server {

// 1 PiB: what the cluster directory's three levels reach.
inline constexpr uint64_t kMaxClusters = uint64_t{1} << 29;

class Pool {
 public:
  struct Options {
    // "anon", or the path of a file, which is made if it does not exist.
    std::string pool = "anon";
    // 1 .. kMaxClusters.
    uint64_t clusters = 0;
    // Lend more than the machine or the file system has.
    bool allow_overcommit = false;
  };

  // Locks the pool's file against a second server. Changes nothing in an
  // existing file. Errors say in one line what to do.
  static absl::StatusOr<std::unique_ptr<Pool>> Open(const Options& options);

  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  ~Pool();

  uint64_t clusters() const { return options_.clusters; }
  const std::string& name() const { return options_.pool; }
  // What the pool's file said when it was opened.
  const PoolFacts& facts() const { return facts_; }

  // Before anything else, either Adopt, which keeps what the pool holds, or
  // Erase, which empties it, and then Format. Between the two the caller
  // makes the new incarnation durable: killed there, the pool is nobody's.
  absl::Status Erase();
  absl::Status Format(const std::string& server_id, uint64_t incarnation,
                      uint64_t sequence);
  absl::Status Adopt(uint64_t sequence);

  char* Data(uint64_t cluster) const { return data_ + cluster * kClusterBytes; }

  // See PoolMarks.
  void SetIntended(uint64_t sequence);
  void SetCommitted(uint64_t sequence);
  // After the last put: what is in the page cache is written out.
  absl::Status MarkClean();

  // Allocates backing; returns for how many of `clusters`, from the first.
  size_t Back(absl::Span<const uint64_t> clusters);
  // Gives the backing back, and the bytes with it.
  absl::Status Scrub(uint64_t first, uint64_t count);

 private:
  explicit Pool(const Options& options) : options_(options) {}

  bool anon() const { return options_.pool == "anon"; }
  absl::Status OpenFile();
  absl::Status ReadFacts();
  // Whether a file without a header is one that nobody has written to.
  bool IsBlank(uint64_t allocated_bytes) const;
  absl::Status CheckCapacity() const;
  absl::Status Map();
  absl::Status Extend();
  absl::Status WriteHeader(const std::string& server_id, uint64_t incarnation);
  PoolMarks* marks() const;

  const Options options_;
  PoolFacts facts_;
  int fd_ = -1;
  // Header and clusters; an anonymous pool has no header.
  char* map_ = nullptr;
  size_t map_bytes_ = 0;
  char* data_ = nullptr;
};

}  // namespace farswap::server

#endif  // FARSWAP_SERVER_POOL_H_

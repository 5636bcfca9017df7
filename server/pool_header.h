// What a pool's file says of itself, in the first 2 MiB of the file: cluster 0
// begins behind it, so that on hugetlbfs too the header is a page of its own.
//
//   offset 0    magic, format version
//          16   server id, boot id of the machine, incarnation, clusters
//          ...  64-bit hash of all of the above
//   offset 512  intended, committed, clean: 64-bit words, written often, each
//               a single store
//
// `intended` is raised before a change of ownership is written to the
// metadata, `committed` after: the metadata's sequence number lies between
// the two, whenever the process is killed.
#ifndef FARSWAP_SERVER_POOL_HEADER_H_
#define FARSWAP_SERVER_POOL_HEADER_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>

#include "common/units.h"

namespace farswap::server {

inline constexpr size_t kPoolHeaderBytes = kClusterBytes;

struct PoolHeader {
  char magic[8];
  uint64_t format;
  char server_id[40];
  char boot_id[40];
  // 0 while the pool is being emptied: it belongs to nobody.
  uint64_t incarnation;
  uint64_t clusters;
  uint64_t hash;
};
static_assert(sizeof(PoolHeader) == 120);

struct PoolMarks {
  std::atomic<uint64_t> intended;
  std::atomic<uint64_t> committed;
  // 1 from a clean stop to the next start.
  std::atomic<uint64_t> clean;
};
inline constexpr size_t kPoolMarksOffset = 512;
static_assert(std::atomic<uint64_t>::is_always_lock_free);

// What was found in a pool when it was opened.
struct PoolFacts {
  // Empty if there is a whole header; else why there is none.
  std::string no_header;
  std::string server_id;
  uint64_t incarnation = 0;
  uint64_t intended = 0;
  uint64_t committed = 0;
  bool clean = false;
  // The machine has not been restarted since.
  bool same_boot = false;
  // What the page cache holds is lost with the machine.
  bool on_disk = false;
  // According to the header, and according to the file's length.
  uint64_t recorded_clusters = 0;
  uint64_t file_clusters = 0;
  // Clusters' worth of backing that the file has; only where the file system
  // counts it exactly, else the highest number.
  uint64_t backed_clusters = 0;
};

enum class HeaderState {
  kBlank,    // All zeros, or no file. To be made a pool, if all is blank.
  kForeign,  // Another program's data: not to be touched.
  kDamaged,  // A pool's, but not whole.
  kWhole,
};

// Makes a header; the ids have at most 39 characters.
PoolHeader MakePoolHeader(const std::string& server_id, uint64_t incarnation,
                          uint64_t clusters);
HeaderState CheckPoolHeader(const PoolHeader& header);

// Names this start of the machine; empty if the kernel does not say.
std::string BootId();
// Whether the pool was last opened since then. An id that is not known is
// nobody's: two of them say nothing.
bool IsSameBoot(const PoolHeader& header, const std::string& boot_id);

}  // namespace farswap::server

#endif  // FARSWAP_SERVER_POOL_HEADER_H_

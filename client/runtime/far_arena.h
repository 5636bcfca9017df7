// A heap in a given range of addresses: a jemalloc arena whose extents are
// carved from the range, and from nowhere else.
//
// Made for far memory, where touching a page may cost a round trip:
//  - jemalloc keeps its own data (extents, bitmaps, bins) apart from the
//    memory it hands out, and this arena takes that data from plain memory.
//    Allocating and freeing touch no page of the range.
//  - Nothing is ever given back by madvise or munmap, which a region of far
//    memory does not allow: what is freed is reused by this arena.
//  - No thread caches: every byte of the range belongs to who allocated it,
//    and the calls cost a lock instead.
//
// Thread-safe. Allocations must not be used after the arena is gone, nor
// passed to free().
#ifndef FARSWAP_CLIENT_RUNTIME_FAR_ARENA_H_
#define FARSWAP_CLIENT_RUNTIME_FAR_ARENA_H_

#include <cstddef>
#include <memory>

#include "absl/status/statusor.h"

namespace farswap::runtime {

class FarArena {
 public:
  // The range must be 2 MiB aligned, read as zeros, and outlive the arena.
  static absl::StatusOr<std::unique_ptr<FarArena>> Create(char* address,
                                                          size_t bytes);
  virtual ~FarArena() = default;
  FarArena(const FarArena&) = delete;
  FarArena& operator=(const FarArena&) = delete;

  // Null when the range holds no more. REQUIRES: bytes > 0.
  virtual void* Allocate(size_t bytes) = 0;
  // May move. Null, and `p` as it was, when the range holds no more.
  // REQUIRES: bytes > 0, p != null.
  virtual void* Reallocate(void* p, size_t bytes) = 0;
  // REQUIRES: p != null; `bytes` as last given for it.
  virtual void Free(void* p, size_t bytes) = 0;

  // How much of the range was carved so far: what may ever have been touched.
  virtual size_t carved_bytes() const = 0;

 protected:
  FarArena() = default;
};

}  // namespace farswap::runtime

#endif  // FARSWAP_CLIENT_RUNTIME_FAR_ARENA_H_

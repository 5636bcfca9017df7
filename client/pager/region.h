// A region: a range of far memory of the program, and the table of them.
//
// The program may unmap parts of a region. So the table maps pieces of
// addresses to regions: a region has one piece when it is made, and fewer
// bytes, or more pieces, after an munmap.
#ifndef FARSWAP_CLIENT_PAGER_REGION_H_
#define FARSWAP_CLIENT_PAGER_REGION_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <shared_mutex>
#include <utility>
#include <vector>

#include "client/core/memory_group.h"
#include "client/pager/fault_size.h"
#include "client/pager/grace.h"
#include "client/pager/page_map.h"
#include "common/mutex.h"
#include "common/units.h"

namespace farswap::pager {

// What becomes of a fault that cannot be served. kWait: it waits on past its
// deadline, for what may come back; what is known to be lost is poisoned.
enum class FailPolicy { kPoison, kAbort, kWait };

struct RegionOptions {
  uint64_t bytes = 0;  // Rounded up to 2 MiB.
  FailPolicy fail_policy = FailPolicy::kPoison;
  // First touches give 2 MiB where the whole block is untouched.
  bool huge = true;
};

// Thread-safe: constant, but for the page map (block locks) and what protects
// itself.
class Region : public std::enable_shared_from_this<Region> {
 public:
  Region(char* address, uint64_t bytes,
         std::shared_ptr<core::MemoryGroup> group, const RegionOptions& options)
      : address_(address),
        bytes_(bytes),
        group_(std::move(group)),
        options_(options),
        map_(bytes / kPageBytes) {}
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;

  char* address() const { return address_; }
  uint64_t length() const { return bytes_; }
  uint64_t blocks() const { return bytes_ / kPmdBytes; }
  core::MemoryGroup* group() const { return group_.get(); }
  FailPolicy fail_policy() const { return options_.fail_policy; }
  bool huge() const { return options_.huge; }

  char* AddressOf(uint64_t page) const { return address_ + page * kPageBytes; }
  uint64_t PageOf(const char* at) const {
    return static_cast<uint64_t>(at - address_) / kPageBytes;
  }
  // Whether the program has unmapped or moved away a part of it, ever.
  bool carved() const { return carved_.load(std::memory_order_relaxed); }
  void SetCarved() { carved_.store(true, std::memory_order_relaxed); }

  // A dead region is about to be unmapped, and its addresses given to others:
  // who acts on them holds the block's lock and has seen, under it, that the
  // region lives. BlockLocks::Barrier after Kill sees the last of them out.
  bool dead() const { return dead_.load(std::memory_order_acquire); }
  void Kill() { dead_.store(true, std::memory_order_release); }

  // Words are guarded by the block's lock.
  PageMap& map() { return map_; }
  FaultSize& fault_size() { return fault_size_; }

 private:
  char* const address_;
  const uint64_t bytes_;
  const std::shared_ptr<core::MemoryGroup> group_;
  const RegionOptions options_;
  PageMap map_;
  FaultSize fault_size_;
  std::atomic<bool> carved_{false};
  std::atomic<bool> dead_{false};
};

// The lock of a block: striped, so that nothing is sized by capacity. It
// guards the page map's words of the block and the fields of the folios in
// it. At most one is held at a time, never across an RPC or a wait.
class BlockLocks {
 public:
  Mutex* Of(const Region* region, uint64_t page) {
    const auto block =
        reinterpret_cast<uint64_t>(region->AddressOf(page)) / kPmdBytes;
    return &locks_[block % kStripes];
  }

  // Returns when everyone has let go of the locks he holds now.
  void Barrier() {
    for (Mutex& lock : locks_) MutexLock held(&lock);
  }

 private:
  // Addresses are consecutive, so blocks 1 GiB apart share a lock.
  static constexpr size_t kStripes = 512;
  std::array<Mutex, kStripes> locks_;
};

// Thread-safe. A region found stays valid while its pointer is held, and its
// object after that until Reap: folios name their region by a bare pointer.
class RegionTable {
 public:
  // A range of addresses of one region.
  struct Piece {
    char* start;
    char* end;
    std::shared_ptr<Region> region;
  };

  ~RegionTable();

  // Adds a region, as one piece.
  Region* Add(std::unique_ptr<Region> region);
  // Takes the region out, so that nobody finds it any more; `*pieces` is what
  // it had. Null if it is not there.
  std::shared_ptr<Region> Remove(const Region* region,
                                 std::vector<Piece>* pieces);
  std::shared_ptr<Region> Find(const char* at) const;
  // What of the range is regions', piece by piece.
  std::vector<Piece> PiecesIn(char* start, char* end) const;
  // The range is no region's any more.
  void Carve(char* start, char* end);
  // Null if the region is not, or no longer, in the table.
  std::shared_ptr<Region> Hold(const Region* region) const;
  // Whether a region of that group is left.
  bool HasGroup(const core::MemoryGroup* group) const;

  // Frees the objects of regions that were removed and let go of, once nobody
  // can hold a folio of theirs. For one thread.
  void Reap(Grace* grace);

 private:
  // std::shared_mutex: every fault reads the table, and it changes seldom.
  mutable std::shared_mutex mu_;
  std::vector<Piece> pieces_;  // By address; none overlap.
  std::vector<std::shared_ptr<Region>> regions_;
  Mutex dead_mu_;
  std::vector<std::unique_ptr<Region>> dead_ ABSL_GUARDED_BY(dead_mu_);
  // Dead when the generation that is draining was closed. Reap's.
  std::vector<std::unique_ptr<Region>> draining_;
};

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_REGION_H_

// A region: a range of far memory of the program, and the table of them.
//
// The program may unmap and move parts of a region. A page is named by its
// index in the region, wherever it is: words, folios and block locks are keyed
// by that. The table maps pieces of addresses to runs of pages, and a region
// its pages to addresses: it has one piece when it is made, and fewer bytes, or
// more pieces, after an munmap or an mremap.
#ifndef FARSWAP_CLIENT_PAGER_REGION_H_
#define FARSWAP_CLIENT_PAGER_REGION_H_

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <shared_mutex>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "client/core/memory_group.h"
#include "client/pager/fault_size.h"
#include "client/pager/grace.h"
#include "client/pager/page_map.h"
#include "client/pager/vacated.h"
#include "common/mutex.h"
#include "common/units.h"

namespace farswap::pager {

// What becomes of a fault that cannot be served. kWait: it waits on past its
// deadline, for what may come back; what is known to be lost is poisoned.
enum class FailPolicy { kPoison, kAbort, kWait };

struct Mm;

struct RegionOptions {
  uint64_t bytes = 0;  // Rounded up to 2 MiB.
  FailPolicy fail_policy = FailPolicy::kPoison;
  // First touches give 2 MiB where the whole block is untouched.
  bool huge = true;
  // It is memory that the program had before: what is not known to be anything
  // else may be there already.
  bool found = false;
};

// Thread-safe: constant, but for the page map (block locks) and what protects
// itself.
class Region : public std::enable_shared_from_this<Region> {
 public:
  // `mm`: where it is; null only if nothing is to be done there.
  Region(std::shared_ptr<Mm> mm, char* address, uint64_t bytes,
         std::shared_ptr<core::MemoryGroup> group, const RegionOptions& options)
      : mm_(std::move(mm)),
        address_(address),
        bytes_(bytes),
        group_(std::move(group)),
        options_(options),
        map_(bytes / kPageBytes) {}
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;

  const std::shared_ptr<Mm>& mm() const { return mm_; }
  // Where it was made.
  char* address() const { return address_; }
  uint64_t length() const { return bytes_; }
  uint64_t blocks() const { return bytes_ / kPmdBytes; }
  core::MemoryGroup* group() const { return group_.get(); }
  std::shared_ptr<core::MemoryGroup> shared_group() const { return group_; }
  FailPolicy fail_policy() const { return options_.fail_policy; }
  bool huge() const { return options_.huge; }
  bool found() const { return options_.found; }

  // Where the page is. It stays there as long as its block's lock is held.
  char* AddressOf(uint64_t page) const {
    if (!moved_.load(std::memory_order_acquire)) return HomeOf(page);
    uint64_t run = 1;
    return AddressOfMoved(page, &run);
  }
  // Whether the program has unmapped or moved away a part of it, ever.
  bool carved() const { return carved_.load(std::memory_order_relaxed); }
  void SetCarved() { carved_.store(true, std::memory_order_relaxed); }
  // How many of the pages from `page` on, at most `most`, are in a row.
  uint64_t RunAt(uint64_t page, uint64_t most) const {
    if (!moved_.load(std::memory_order_acquire)) return most;
    uint64_t run = most;
    AddressOfMoved(page, &run);
    return run;
  }
  // Whether the 2^order pages from `page` are in a row, and, if that is a
  // block, where one 2 MiB page can be.
  bool IsWhole(uint64_t page, int order) const;
  // Whether none of the pages was ever moved.
  bool IsHome(uint64_t page, uint64_t pages) const;
  // Pages were moved. REQUIRES: the lock of their block, one block.
  void Move(uint64_t page, uint64_t pages, char* to);
  // The block's place as it was made, for who must tell blocks apart.
  char* HomeOf(uint64_t page) const { return address_ + page * kPageBytes; }
  // A dead region is about to be unmapped, and its addresses given to others:
  // who acts on them holds the block's lock and has seen, under it, that the
  // region lives. BlockLocks::Barrier after Kill sees the last of them out.
  bool dead() const { return dead_.load(std::memory_order_acquire); }
  void Kill() { dead_.store(true, std::memory_order_release); }

  // Words are guarded by the block's lock.
  PageMap& map() { return map_; }
  FaultSize& fault_size() { return fault_size_; }

 private:
  // Pages in a row; the next one begins where this ends.
  struct Extent {
    uint64_t page;
    char* at;
  };

  // `*run`: how many pages are in a row, at most what it was.
  char* AddressOfMoved(uint64_t page, uint64_t* run) const;
  // The extent of that page, after it was made to begin there.
  size_t CutAt(uint64_t page);

  const std::shared_ptr<Mm> mm_;
  char* const address_;
  const uint64_t bytes_;
  const std::shared_ptr<core::MemoryGroup> group_;
  const RegionOptions options_;
  PageMap map_;
  FaultSize fault_size_;
  std::atomic<bool> carved_{false};
  std::atomic<bool> dead_{false};

  // Mostly nothing was moved, and nobody looks at the extents.
  std::atomic<bool> moved_{false};
  mutable std::shared_mutex extents_mu_;
  std::vector<Extent> extents_;  // By page, from 0 on.
};

// The lock of a block: striped, so that nothing is sized by capacity. It
// guards the page map's words of the block and the fields of the folios in
// it. At most one is held at a time, never across an RPC or a wait.
class BlockLocks {
 public:
  Mutex* Of(const Region* region, uint64_t page) {
    const auto block =
        reinterpret_cast<uint64_t>(region->HomeOf(page)) / kPmdBytes;
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

class RegionGraves;

// The regions of one address space, and where they are.
//
// Thread-safe. A region found stays valid while its pointer is held, and its
// object after that until it is reaped (RegionGraves).
class RegionTable {
 public:
  explicit RegionTable(RegionGraves* graves) : graves_(*graves) {}
  // A range of addresses of one region: its pages from `page` on, in a row.
  struct Piece {
    char* start = nullptr;
    char* end = nullptr;
    std::shared_ptr<Region> region;
    uint64_t page = 0;

    uint64_t pages() const {
      return static_cast<uint64_t>(end - start) / kPageBytes;
    }
    // What of it is in the range, which overlaps it.
    Piece In(char* from, char* to) const {
      char* const first = std::max(from, start);
      const uint64_t skipped =
          static_cast<uint64_t>(first - start) / kPageBytes;
      return {first, std::min(to, end), region, page + skipped};
    }
    // Whether `next` goes on where this ends, in the region too.
    bool IsBefore(const Piece& next) const {
      return end == next.start && region == next.region &&
             page + pages() == next.page;
    }
  };

  // Adds a region, as one piece.
  Region* Add(std::unique_ptr<Region> region);
  // Adds one that is nowhere yet.
  std::shared_ptr<Region> AddEmpty(std::unique_ptr<Region> region);
  // Takes the region out, so that nobody finds it any more; `*pieces` is what
  // it had. Null if it is not there.
  std::shared_ptr<Region> Remove(const Region* region,
                                 std::vector<Piece>* pieces);
  // The page at that address, as its region and its index there; or null.
  std::shared_ptr<Region> Find(const char* at, uint64_t* page) const;
  // Calls `act` if the address is no region's; nor becomes it meanwhile. False
  // if it is.
  bool IfNobodys(const char* at, absl::FunctionRef<void()> act) const;
  // What of the range is regions', piece by piece.
  std::vector<Piece> PiecesIn(char* start, char* end) const;
  std::vector<Piece> All() const;
  std::vector<std::shared_ptr<Region>> Regions() const;
  bool empty() const;
  // All that the region has.
  std::vector<Piece> PiecesOf(const Region* region) const;
  // The range is no region's any more.
  void Carve(char* start, char* end);
  // Pages of a region that is in the table are there now. REQUIRES: the range
  // is no region's.
  void Place(Piece piece);
  // Null if the region is not, or no longer, in the table.
  std::shared_ptr<Region> Hold(const Region* region) const;
  // Whether a region of that group is left.
  bool HasGroup(const core::MemoryGroup* group) const;

 private:
  // std::shared_mutex: every fault reads the table, and it changes seldom.
  const Piece* FindPiece(const char* at) const;

  RegionGraves& graves_;
  mutable std::shared_mutex mu_;
  std::vector<Piece> pieces_;  // By address; none overlap.
  std::vector<std::shared_ptr<Region>> regions_;
};

// Objects of regions that were removed and let go of: folios name their region
// by a bare pointer.
//
// Thread-safe; Reap is for one thread.
class RegionGraves {
 public:
  RegionGraves() = default;
  RegionGraves(const RegionGraves&) = delete;
  RegionGraves& operator=(const RegionGraves&) = delete;

  void Bury(Region* region);
  // Frees them, once nobody can hold a folio of theirs.
  void Reap(Grace* grace);

 private:
  Mutex mu_;
  std::vector<std::unique_ptr<Region>> dead_ ABSL_GUARDED_BY(mu_);
  // Dead when the generation that is draining was closed. Reap's.
  std::vector<std::unique_ptr<Region>> draining_;
};

// What of the piece is in none of the ranges.
std::vector<RegionTable::Piece> Without(
    const RegionTable::Piece& piece, const std::vector<AddressRange>& ranges);

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_REGION_H_

// The address space of a process of a tree, as it is found: its memory becomes
// far while it runs.
//
// What is found may be there already, so a page of which nothing is known is
// zeros only if it is absent (RegionOptions::found). Pages are named by their
// addresses: a region is a window of kWindowBytes of addresses, and has pieces
// where the process has private anonymous memory. What mremap moves keeps its
// region and index (client/pager/region.h); a window where an index is taken by
// a page that was moved away gets one region more.
//
// Thread-safe, but for Track and AddPiece: for one thread at a time.
#ifndef FARSWAP_CLIENT_PAGER_TREE_PROCESS_MM_H_
#define FARSWAP_CLIENT_PAGER_TREE_PROCESS_MM_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "client/core/memory_group.h"
#include "client/pager/fork_sink.h"
#include "client/pager/map_changes.h"
#include "client/pager/shared.h"
#include "client/pager/uffd_process.h"

namespace farswap::pager {

class ProcessMm final : public Mm,
                        public ForkSink,
                        public std::enable_shared_from_this<ProcessMm> {
 public:
  static constexpr uint64_t kWindowBytes = uint64_t{1} << 40;

  // Where the window of the address ends.
  static char* WindowEnd(char* at) {
    const uint64_t window = reinterpret_cast<uint64_t>(at) / kWindowBytes;
    return reinterpret_cast<char*>((window + 1) * kWindowBytes);
  }

  // As ForkSink::Apply, of that address space.
  using OnFork = std::function<void(ProcessMm* parent, int uffd,
                                    const std::vector<AddressRange>& held,
                                    const std::function<void()>& copied)>;

  // `id`: of this address space, never given twice; not 0. `transit`: as
  // UffdProcess's.
  ProcessMm(Shared* shared, std::shared_ptr<core::MemoryGroup> group,
            uint64_t id, OwnFd uffd, char* transit, OnFork on_fork);

  uint64_t id() const { return id_; }
  // Where a forked child is told its id (client/launcher/process_wire.h); 0:
  // not known.
  std::atomic<uint64_t> tag_page{0};
  // Something that it shares could not be write-protected (ForkShares).
  std::atomic<bool> unprotected{false};
  // Nobody knows what it has, so it is not served: who faults is ended.
  void Condemn() { condemned_.store(true, std::memory_order_relaxed); }
  bool condemned() const { return condemned_.load(std::memory_order_relaxed); }
  UffdProcess& uffd() { return uffd_; }

  // What of the range, page-aligned private anonymous memory of the process as
  // its map says, is not far memory becomes it. What cannot be now (changes of
  // the map are being applied, or it is something else by now) is left for the
  // next time.
  void Track(char* start, char* end);
  // Makes what is there, and was not known or was another one's too, folios:
  // charged, and to be taken out. As MapChanges::Adopt.
  uint64_t Adopt(
      std::optional<MapChanges::IsUncounted> is_uncounted = std::nullopt);
  // Whether it was found to share something, perhaps since before it was far.
  bool TakeShares() { return changes_.TakeShares(); }
  // What of the range is far memory is not to be any more: brings in what is
  // out, and lets go of what is all there. What is not is for the next time.
  void Untrack(char* start, char* end);
  // The range, of one window, which is nobody's, is a region's: that and its
  // first page.
  RegionTable::Piece AddPiece(char* start, char* end);

  // ForkSink.
  void Apply(int uffd, const std::vector<AddressRange>& held,
             const std::function<void()>& copied) override {
    on_fork_(this, uffd, held, copied);
  }

 private:
  // The pages of the piece are of nothing known; those next to it, of a block
  // that it has a part of, are holes unless they are another piece's.
  void SetEmpty(const RegionTable::Piece& piece);
  // What of the range is no region's, and may become one.
  std::vector<AddressRange> GapsIn(char* start, char* end) const;
  // While no change of the map is applied; what became far memory.
  std::vector<AddressRange> TrackExcluded(char* start, char* end);
  bool TrackGap(char* start, char* end);
  void UntrackExcluded(char* start, char* end);
  // Calls `run(at, page, pages)` for what each block has of the piece, until it
  // says false.
  template <typename Run>
  static void ForEachBlock(const RegionTable::Piece& piece, Run run);
  // The pages, of one block, which are at `at`, are nobody's any more. False:
  // not all of them are here.
  bool LetGo(Region* region, char* at, uint64_t page, uint64_t pages);
  // Whether all that the pages are is here, or zeros. REQUIRES: the lock of
  // their block, one block.
  static bool IsHereLocked(Region* region, uint64_t page, uint64_t pages);
  std::shared_ptr<Region> RegionFor(char* start, char* end);

  Shared& shared_;
  const std::shared_ptr<core::MemoryGroup> group_;
  const uint64_t id_;
  std::atomic<bool> condemned_{false};
  UffdProcess uffd_;
  const OnFork on_fork_;
  MapChanges changes_;
  Forget forget_;
};

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_TREE_PROCESS_MM_H_

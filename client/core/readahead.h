// How much to read ahead of faults, and where: windows that grow while what
// was read ahead is used, and shrink when it is not. After mm/swap_state.c.
//
// A window's size follows the hits since the fault before, that is how many
// pages read ahead were used:
//   none: the page alone; with its neighbour if the fault before was next to it
//   else: hits + 2, up to a power of two, at least 4
// never above the cap, never below half of the window before. So a stream of
// full use doubles its window up to the cap; one bad window halves it.
//
// AddressReadahead is for a region (the kernel's VMA readahead): what follows
// in the program's order. ClusterReadahead is for a swap space: what was
// written out together, for faults that follow no order of addresses.
//
// They only advise. Who reads leaves out what is not swapped out, marks each
// page that is read ahead, counts it (swap_ra), and on its first use counts
// that (swap_ra_hit) and calls OnHit; pages of folios that are not pages, read
// whole anyway, are not counted.
//
// Thread-safe without locks: each is one atomic word, and threads that fault
// at once see their steps in some order.
#ifndef FARSWAP_CLIENT_CORE_READAHEAD_H_
#define FARSWAP_CLIENT_CORE_READAHEAD_H_

#include <atomic>
#include <cstdint>
#include <optional>

#include "client/core/swap_entry.h"

namespace farswap::core {

// The size of the next window. `previous` is that of the window before, 0 if
// there was none.
uint32_t ReadaheadPages(uint32_t hits, bool adjacent, uint32_t previous,
                        uint32_t max_pages);

// What both windows remember, in one word:
//
//   63            12 11      6 5     0
//   | last position |  window | hits  |
//
// where they last were, how large the last window was, and the hits since,
// counted up to 63 (the cap's window needs 30).
class ReadaheadState {
 public:
  // The kernel's: 128 KiB, what an address window may grow to at most.
  static constexpr uint32_t kMaxPages = 32;

  struct Step {
    uint64_t last = 0;   // Where the fault, or hit, before was.
    uint32_t pages = 1;  // The window from now on.
  };
  // A fault at that position: the hits are used up.
  Step OnFault(uint64_t position, uint32_t max_pages);
  // A page read ahead was used; if its position is told, that is now the last.
  void OnHit(std::optional<uint64_t> position);

  // For the curious.
  uint32_t hits() const { return HitsOf(word_.load()); }

 private:
  static constexpr int kFieldBits = 6;
  static constexpr uint64_t kFieldMask = (1 << kFieldBits) - 1;
  static constexpr uint32_t kMaxHits = kFieldMask;
  static constexpr int kPositionShift = 2 * kFieldBits;
  // Next to no real position.
  static constexpr uint64_t kNowhere = ~uint64_t{0} >> (kPositionShift + 1);
  // A new window starts as if some pages had been used: with 8.
  static constexpr uint32_t kStartHits = 4;

  static constexpr uint64_t Word(uint64_t position, uint32_t window,
                                 uint32_t hits) {
    return position << kPositionShift | uint64_t{window} << kFieldBits | hits;
  }
  static constexpr uint64_t PositionOf(uint64_t word) {
    return word >> kPositionShift;
  }
  static constexpr uint32_t WindowOf(uint64_t word) {
    return static_cast<uint32_t>(word >> kFieldBits & kFieldMask);
  }
  static constexpr uint32_t HitsOf(uint64_t word) {
    return static_cast<uint32_t>(word & kFieldMask);
  }
  std::atomic<uint64_t> word_{Word(kNowhere, 0, kStartHits)};
};

class AddressReadahead {
 public:
  // In pages of the region; the page of the fault is one of them.
  struct Window {
    uint64_t first = 0;
    uint32_t pages = 1;
  };

  // `max_pages`: a power of two up to 32. 1: never reads ahead.
  explicit AddressReadahead(uint32_t max_pages = ReadaheadState::kMaxPages);

  // A fault at `page` of a region of `region_pages`. From there on if the one
  // before was just below, up to there if it was just above, else around it;
  // within the region and the page's 2 MiB block, as beyond that the next
  // fault is another block's, with another lock and another cluster.
  Window OnFault(uint64_t page, uint64_t region_pages);
  // The page, read ahead, was used. It counts as the last one, so that a
  // stream that never faults in its windows still goes on.
  void OnHit(uint64_t page) { state_.OnHit(page); }

 private:
  const uint32_t max_pages_;
  ReadaheadState state_;
};

class ClusterReadahead {
 public:
  struct Window {
    SwapEntry first;
    uint32_t pages = 1;
  };

  // The kernel's default, 32 KiB: slots that were written out together are
  // wanted together less often than neighbours by address.
  static constexpr uint32_t kDefaultPages = 8;

  explicit ClusterReadahead(uint32_t max_pages = kDefaultPages);

  // A fault on a slot: the naturally aligned slots around it, which are in its
  // cluster.
  Window OnFault(SwapEntry entry);
  // A page read ahead, of whatever fault, was used.
  void OnHit() { state_.OnHit(std::nullopt); }

 private:
  const uint32_t max_pages_;
  ReadaheadState state_;
};

}  // namespace farswap::core

#endif  // FARSWAP_CLIENT_CORE_READAHEAD_H_

// What a forked child's pages are: copies of its parent's page maps, by the
// child's addresses, and the slots that these own.
//
// Not thread-safe.
#ifndef FARSWAP_CLIENT_PAGER_FORKS_FORKED_MAP_H_
#define FARSWAP_CLIENT_PAGER_FORKS_FORKED_MAP_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "client/core/swap_entry.h"
#include "client/pager/shared.h"
#include "client/pager/uffd_forked.h"

namespace farswap::pager {

class ForkedMap {
 public:
  // Pages in a row that came of one region.
  struct Range {
    // Of zeros. `page_0`: where page 0 of the map is, or would be.
    Range(char* first, char* last, char* page_0,
          std::shared_ptr<core::MemoryGroup> owner, FailPolicy fail_policy);

    char* start;
    char* end;
    char* base;  // Page 0 of `map`, at or before `start`; of no alignment.
    std::unique_ptr<PageMap> map;
    std::shared_ptr<core::MemoryGroup> group;
    FailPolicy policy;

    uint64_t PageOf(const char* at) const {
      return static_cast<uint64_t>(at - base) / kPageBytes;
    }
    char* AddressOf(uint64_t page) const { return base + page * kPageBytes; }
  };
  // What is fetched and verified as one, and where it is.
  struct Part {
    uint64_t first;  // Its first page; may be before the range.
    core::SwapEntry head;
    int order;
    uint32_t sum;
    core::ClusterGrant grant;
  };

  ForkedMap(Shared* shared, UffdForked* uffd)
      : shared_(*shared), uffd_(*uffd) {}
  // Gives the slots back.
  ~ForkedMap();
  ForkedMap(const ForkedMap&) = delete;
  ForkedMap& operator=(const ForkedMap&) = delete;

  // Takes over what the parent's map has of the piece, and copies what is on
  // its way out. Takes block locks, one at a time.
  void AddPiece(const RegionTable::Piece& piece);
  // Nobody knows what the child has there, if anything, but for what is a
  // range's: SIGBUS.
  void AddUnclear(char* start, char* end);
  // What of ranges is there is lost: SIGBUS.
  void Lose(char* start, char* end);
  // Null: none.
  Range* Find(const char* at);

  // The parts from that of the page on, as far as their bytes are at most
  // `most` (but one part at least), of one session, in slots and not zeros.
  // Empty: the page itself is zeros, or not in a slot.
  std::vector<Part> PartsFrom(const Range& range, uint64_t page,
                              uint64_t most) const;
  // The pages of the part that the range has still to get, run by run, become
  // `word`, and their slots have one owner less, if `act(page, pages, i)` says
  // true; `i`: the first one's index in the part. False if one said false.
  template <typename Act>
  bool TakeFrom(Range* range, const Part& part, PageWord word, Act act);

  // The child's own changes.
  void Forget(char* start, char* end);
  void Unmap(char* start, char* end);
  void Move(char* start, char* end, char* to);

  // Poisons in a child what is still in slots, or lost: of this child, or of
  // one that it forked. False: it could not be done in time.
  bool PoisonAll(UffdForked* uffd) const;
  // Gives all slots back: no page is to come any more.
  void Clear();

 private:
  void AddBlock(Range* range, const RegionTable::Piece& piece, uint64_t first,
                uint64_t end);
  // One page; `at`: its address in the child. REQUIRES: its block's lock.
  void AddPageLocked(Range* range, Region* region, uint64_t page, char* at);
  bool AddWholeBlockLocked(Range* range, Region* region, uint64_t page,
                           char* at);
  // What the child has mapped in a range that is no range's.
  void AddUnclearIn(char* start, char* end);
  // What of ranges is there becomes that; slots are given back.
  void DropIn(char* start, char* end, PageWord word);
  // Pages [first, end) become that; their slots are given back.
  void Drop(Range* range, uint64_t first, uint64_t end, PageWord word);
  // The range's pages of which `is` says true, run by run, to
  // `run(first, end)`.
  template <typename Is, typename Run>
  static void ForEachRun(const Range& range, Is is, Run run);
  // Splits a range that reaches across the address.
  void CutAt(char* at);

  Shared& shared_;
  UffdForked& uffd_;
  std::vector<Range> ranges_;
};

template <typename Act>
bool ForkedMap::TakeFrom(Range* range, const Part& part, PageWord word,
                         Act act) {
  const uint64_t first = range->PageOf(range->start);
  const uint64_t end = range->PageOf(range->end);
  const uint32_t pages = PagesOf(part.order);
  const auto is_ours = [&](uint32_t i) {
    const uint64_t page = part.first + i;
    return page >= first && page < end &&
           range->map->Get(page) == PageWord::Swap(part.head + i);
  };
  for (uint32_t i = 0; i < pages;) {
    uint32_t to = i;
    while (to < pages && is_ours(to)) ++to;
    if (to == i) {
      ++i;
      continue;
    }
    if (!act(part.first + i, to - i, i)) return false;
    Drop(range, part.first + i, part.first + to, word);
    i = to;
  }
  return true;
}

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_FORKS_FORKED_MAP_H_

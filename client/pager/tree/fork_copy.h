// What a forked child of a tree has: its parent's page map, by address.
//
// Its present pages are its own, though it shares them for the time being: they
// are looked at when they are shared no more. What is in a slot has one owner
// more. What is on its way out is copied into it, for it may never reach its
// slot.
#ifndef FARSWAP_CLIENT_PAGER_TREE_FORK_COPY_H_
#define FARSWAP_CLIENT_PAGER_TREE_FORK_COPY_H_

#include <vector>

#include "client/pager/shared.h"
#include "client/pager/tree/process_mm.h"
#include "client/pager/vacated.h"

namespace farswap::pager {

class ForkCopy {
 public:
  ForkCopy(Shared* shared, ProcessMm* parent, ProcessMm* child)
      : shared_(*shared), parent_(*parent), child_(*child) {}

  // What of these changes, each of which may have happened before or after the
  // map was copied, the child may have otherwise than its parent. By its own
  // map, which does not change as it does not run yet: if it has what was moved
  // where it was moved to, and not where it was, it was copied later.
  std::vector<AddressRange> LostBy(const std::vector<MapEvent>& unclear) const;
  // All of it but what is in `hidden`. Takes block locks of the parent's;
  // operations on it are refused meanwhile (MapEvents). The child is nobody
  // else's yet.
  void Copy(const std::vector<AddressRange>& hidden);
  // Nobody knows what the child has there: what is not present raises SIGBUS.
  // Where it has nothing mapped, that stays so.
  void Lose(char* start, char* end);

 private:
  // Whether the child has it as it is after that move. `known`: where moves
  // that were told later have put what the child has.
  bool HasAfter(const MapEvent& move,
                const std::vector<AddressRange>& known) const;
  // Of a range that is all mapped, or may be.
  void LoseMapped(char* start, char* end);
  void CopyPiece(const RegionTable::Piece& piece);
  // Of one block of the parent's region; `at`: where the first page is.
  void CopyRun(Region* from, uint64_t page, uint64_t pages, char* at,
               const RegionTable::Piece& to);
  bool CopyBlockLocked(Region* from, uint64_t page, Region* to,
                       uint64_t to_page);
  void CopyPageLocked(Region* from, uint64_t page, char* at, Region* to,
                      uint64_t to_page);

  Shared& shared_;
  ProcessMm& parent_;
  ProcessMm& child_;
};

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_TREE_FORK_COPY_H_

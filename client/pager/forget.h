// Forgetting pages: what the page map says of a range is dropped, and with it
// folios, charges and slots. The pages themselves are not touched: they are
// gone, or about to go.
//
// Thread-safe.
#ifndef FARSWAP_CLIENT_PAGER_FORGET_H_
#define FARSWAP_CLIENT_PAGER_FORGET_H_

#include <cstdint>
#include <vector>

#include "client/pager/shared.h"

namespace farswap::pager {

class Forget {
 public:
  explicit Forget(Shared* shared) : shared_(*shared) {}

  // The pages of one block, from `page` on, become `word`: kNone or kHole. A
  // folio that is partly in the range is cut. REQUIRES: the block's lock.
  void RangeLocked(Region* region, uint64_t page, uint64_t pages,
                   PageWord word);
  // The same, for any range of the region, block by block.
  void Range(Region* region, uint64_t page, uint64_t pages, PageWord word);

  // Puts smaller folios in the place of a mapped one: 64 KiB, or pages of
  // that. They are inactive, and `parts`, if it is not null, gets them; they
  // are alive while the lock is held. False if the arena is full.
  // REQUIRES: the block's lock.
  bool SplitLocked(core::Folio* folio, std::vector<core::Folio*>* parts);

 private:
  // How many pages that was: one, or all of a folio that is in the range.
  uint64_t PageLocked(Region* region, uint64_t page, uint64_t end);
  void FolioLocked(core::Folio* folio);
  // A mapped folio's slots: nobody needs them, unless a put is under way.
  void DropSwapLocked(core::Folio* folio);

  Shared& shared_;
};

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_FORGET_H_

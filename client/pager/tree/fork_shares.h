// What processes of a tree share since a fork, and what it costs to write to
// it.
//
// A shared page is charged once, to who had it before the fork. The first to
// write to it gets a copy, of which the kernel tells nobody. So shared pages
// are write-protected, and the fault of the first write to 64 KiB of them waits
// until there is room for the copies: a tree that copies as fast as it can
// stays within its limit. They are charged then, and promised (Promises).
//
// Not all of them are made: the rest of the 64 KiB may never be written to, or
// the others end before. So promises are given back as far as there are more
// than pages that may still be copied so (GiveBack).
//
// Thread-safe.
#ifndef FARSWAP_CLIENT_PAGER_TREE_FORK_SHARES_H_
#define FARSWAP_CLIENT_PAGER_TREE_FORK_SHARES_H_

#include "client/core/memory_group.h"
#include "client/pager/reclaim.h"
#include "client/pager/shared.h"
#include "client/pager/tree/process_mm.h"
#include "client/pager/tree/sharers.h"
#include "common/mutex.h"

namespace farswap::pager {

class ForkShares {
 public:
  ForkShares(Shared* shared, Reclaim* reclaim, core::MemoryGroup* group)
      : shared_(*shared), reclaim_(*reclaim), group_(*group) {}
  ForkShares(const ForkShares&) = delete;
  ForkShares& operator=(const ForkShares&) = delete;

  // It has just been forked, or has forked.
  void Protect(ProcessMm* mm);
  // A write to a protected page. Waits for room as any fault.
  void Serve(ProcessMm* mm, const Fault& fault, SteadyTime read_at);
  // Nothing is shared any more.
  void End(ProcessMm* mm);
  // Nor by anyone else: what was promised is not used.
  void EndAll();

  // What is promised, and how much of that may still be used.
  struct Outlook {
    uint64_t promised;
    uint64_t taken;  // Ever.
    uint64_t open;
  };
  Outlook Look(const Sharers& sharers) const;
  // All that the sharers have was looked at since, so what was promised then is
  // found, or open, or not used.
  void GiveBack(const Outlook& before);

 private:
  // The part, or the block, of the page, as far as it is of one piece.
  static RegionTable::Piece Around(const ProcessMm& mm, char* page,
                                   uint64_t pages);

  // Of that many pages, one of which is written to. Waits for room.
  void Charge(ProcessMm* mm, const char* page, uint64_t pages,
              SteadyTime until);
  // Lets the page be written to, and those of the range, of which so many are
  // charged. False: nothing was changed, and the charge is gone.
  bool TryUnprotect(ProcessMm* mm, const char* page,
                    const RegionTable::Piece& range, uint64_t shared);

  Shared& shared_;
  Reclaim& reclaim_;
  core::MemoryGroup& group_;
  Mutex mu_;  // Across a look and what follows of it; a leaf.
};

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_TREE_FORK_SHARES_H_

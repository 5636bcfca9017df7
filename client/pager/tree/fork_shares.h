// What processes of a tree share since a fork, and what it costs to write to
// it.
//
// A shared page is charged once, to who had it before the fork. The first to
// write to it gets a copy, of which the kernel tells nobody. So shared pages
// are write-protected, and the fault of the first write to 64 KiB of them waits
// until there is room for the copies: a tree that copies as fast as it can
// stays within its limit. What was charged so is taken off the charge of the
// pages when they are found, in whoever has them to himself by then
// (Shared::ChargeFound).
//
// Thread-safe.
#ifndef FARSWAP_CLIENT_PAGER_TREE_FORK_SHARES_H_
#define FARSWAP_CLIENT_PAGER_TREE_FORK_SHARES_H_

#include "client/core/memory_group.h"
#include "client/pager/reclaim.h"
#include "client/pager/shared.h"
#include "client/pager/tree/process_mm.h"
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
  // It has ended: what it was promised and nobody has found is given back, or
  // as much of others'.
  void Gone(ProcessMm* mm);
  // Nothing is shared any more.
  void End(ProcessMm* mm);
  // Nor by anyone else: what was promised is not used.
  void EndAll();

 private:
  // The part, or the block, of the page, as far as it is of one piece.
  static RegionTable::Piece Around(const ProcessMm& mm, char* page,
                                   uint64_t pages);

  Shared& shared_;
  Reclaim& reclaim_;
  core::MemoryGroup& group_;
  Mutex mu_;  // Across a look and what follows of it; a leaf.
};

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_TREE_FORK_SHARES_H_

// What processes of a tree share since a fork, and what it costs to write to
// it.
//
// A shared page is counted in one of them (sharers.h). The first to
// write to it gets a copy, of which the kernel tells nobody. So shared pages
// are write-protected, and the fault of the first write to 64 KiB of them waits
// until there is room for the copies: a tree that copies as fast as it can
// stays within its limit. They are charged then, and promised (Promises).
//
// Not all of them are made: the rest of the 64 KiB may never be written to, or
// the others end before. So promises are given back as far as there are more
// than pages that may still be copied so (EndLook).
//
// Thread-safe; looks are one thread's.
#ifndef FARSWAP_CLIENT_PAGER_TREE_FORK_SHARES_H_
#define FARSWAP_CLIENT_PAGER_TREE_FORK_SHARES_H_

#include <cstdint>
#include <memory>
#include <vector>

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
  // It shares nothing any more.
  void End(ProcessMm* mm);

  // What was promised until the sharers are looked at is found by that, or
  // left for later, or may still be used as pages are open: or it is given
  // back, if it was not used in the look before either.
  // Before the look: protects again what could not be protected.
  uint64_t BeginLook(const std::vector<std::shared_ptr<ProcessMm>>& all);
  // After it; `promised`: what the former has returned.
  void EndLook(uint64_t promised, uint64_t open_or_left);

 private:
  // The part, or the block, of the page, as far as it is of one piece.
  static RegionTable::Piece Around(const ProcessMm& mm, char* page,
                                   uint64_t pages);

  // Where it is refused, copies are counted when they are found.
  static void ProtectAll(ProcessMm* mm);
  // Of that many pages, one of which is written to. Waits for room.
  void Charge(ProcessMm* mm, const char* page, uint64_t pages,
              SteadyTime until);
  // Lets the page be written to, and those of the range, of which so many are
  // charged. False: not so, or not all of it; and the charge is gone.
  bool TryUnprotect(ProcessMm* mm, const char* page,
                    const RegionTable::Piece& range, uint64_t shared);

  Shared& shared_;
  Reclaim& reclaim_;
  core::MemoryGroup& group_;
  Mutex mu_;             // Across a question and what follows of it; a leaf.
  uint64_t unused_ = 0;  // As of the last look.
};

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_TREE_FORK_SHARES_H_

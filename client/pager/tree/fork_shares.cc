#include "client/pager/tree/fork_shares.h"

#include <algorithm>
#include <cstdint>

#include "common/units.h"

namespace farswap::pager {

void ForkShares::Protect(ProcessMm* mm) {
  mm->uffd().SetForked(true);
  for (const auto& piece : mm->regions.All()) {
    // Where it is refused, copies are only counted, later.
    (void)mm->uffd().Protect(piece.start, piece.pages() * kPageBytes);
  }
}

RegionTable::Piece ForkShares::Around(const ProcessMm& mm, char* page,
                                      uint64_t pages) {
  const uint64_t bytes = pages * kPageBytes;
  char* const start = page - reinterpret_cast<uintptr_t>(page) % bytes;
  for (const auto& piece : mm.regions.PiecesIn(start, start + bytes)) {
    if (piece.start <= page && page < piece.end) return piece;
  }
  return {page, page + kPageBytes, nullptr, 0};
}

void ForkShares::Serve(ProcessMm* mm, const Fault& fault, SteadyTime read_at) {
  UffdProcess& uffd = mm->uffd();
  char* const page =
      fault.address - reinterpret_cast<uintptr_t>(fault.address) % kPageBytes;
  RegionTable::Piece range = Around(*mm, page, kPagesPerPart);
  const uint64_t shared = uffd.CountGuarded(range.start, range.end);
  if (shared == 0) {
    // Perhaps nothing next to it is shared any more either.
    const RegionTable::Piece block = Around(*mm, page, kPagesPerPmd);
    if (uffd.CountGuarded(block.start, block.end) == 0) range = block;
  } else {
    Charge(mm, page, shared, read_at + shared_.fault_deadline);
  }
  if (TryUnprotect(mm, page, range, shared)) return;
  // If it is protected still, it faults again.
  (void)uffd.Wake(page, kPageBytes);
}

void ForkShares::Charge(ProcessMm* mm, const char* page, uint64_t pages,
                        SteadyTime until) {
  if (!mm->uffd().IsAwaited(page) &&
      reclaim_.Charge(&group_, pages, until, /*frees_slots=*/false)) {
    return;
  }
  // What is shared is here already; nobody's bytes are to be lost for it.
  group_.ForceCharge(pages);
}

bool ForkShares::TryUnprotect(ProcessMm* mm, const char* page,
                              const RegionTable::Piece& range,
                              uint64_t shared) {
  UffdProcess& uffd = mm->uffd();
  MutexLock lock(&mu_);
  // Else another one's fault was faster, and has paid. Where that cannot be
  // asked nothing was counted.
  if (uffd.has_pagemap() && !uffd.IsProtected(page)) {
    group_.Uncharge(shared);
    return false;
  }
  // Before: they may be found at once.
  shared_.promises.Give(shared);
  if (uffd.Unprotect(range.start, range.pages() * kPageBytes)) return true;
  // What was found meanwhile is paid for by it.
  group_.Uncharge(shared_.promises.Take(shared));
  return false;
}

void ForkShares::End(ProcessMm* mm) {
  mm->uffd().SetForked(false);
  for (const auto& piece : mm->regions.All()) {
    (void)mm->uffd().Unprotect(piece.start, piece.pages() * kPageBytes);
  }
}

void ForkShares::EndAll() {
  group_.Uncharge(shared_.promises.Take(UINT64_MAX));
}

ForkShares::Outlook ForkShares::Look(const Sharers& sharers) const {
  Outlook look{shared_.promises.count(), shared_.promises.taken(), 0};
  // Mostly there is nothing, and nothing is read.
  if (look.promised > 0) look.open = sharers.CountOpen();
  return look;
}

void ForkShares::GiveBack(const Outlook& before) {
  const uint64_t used = shared_.promises.taken() - before.taken + before.open;
  if (used >= before.promised) return;
  group_.Uncharge(shared_.promises.Take(before.promised - used));
}

}  // namespace farswap::pager

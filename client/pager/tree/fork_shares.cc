#include "client/pager/tree/fork_shares.h"

#include <algorithm>

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
  uint64_t shared = uffd.CountShared(range.start, range.end);
  if (shared == 0) {
    // Perhaps nothing next to it is shared any more either.
    const RegionTable::Piece block = Around(*mm, page, kPagesPerPmd);
    if (uffd.CountShared(block.start, block.end) == 0) range = block;
  } else if (!reclaim_.Charge(&group_, shared, read_at + shared_.fault_deadline,
                              /*frees_slots=*/false)) {
    // What is shared is here already; nobody's bytes are to be lost for it.
    group_.ForceCharge(shared);
  }
  bool done = false;
  {
    MutexLock lock(&mu_);
    // Else another one's fault was faster, and has paid. Where that cannot be
    // asked nothing is counted.
    if (!uffd.has_pagemap() || uffd.IsProtected(page)) {
      // Before: they may be found at once.
      shared_.promised_pages.fetch_add(shared);
      done = uffd.Unprotect(range.start, range.pages() * kPageBytes);
      // What was found meanwhile is paid for by it.
      if (!done) shared = shared_.TakePromised(shared);
    }
  }
  if (done) {
    mm->promised_pages.fetch_add(shared);
    return;
  }
  if (shared > 0) group_.Uncharge(shared);
  // If it is protected still, it faults again.
  (void)uffd.Wake(page, kPageBytes);
}

void ForkShares::Gone(ProcessMm* mm) {
  const uint64_t back = shared_.TakePromised(mm->promised_pages.exchange(0));
  if (back > 0) group_.Uncharge(back);
}

void ForkShares::End(ProcessMm* mm) {
  mm->uffd().SetForked(false);
  for (const auto& piece : mm->regions.All()) {
    (void)mm->uffd().Unprotect(piece.start, piece.pages() * kPageBytes);
  }
}

void ForkShares::EndAll() {
  const uint64_t left = shared_.promised_pages.exchange(0);
  if (left > 0) group_.Uncharge(left);
}

}  // namespace farswap::pager

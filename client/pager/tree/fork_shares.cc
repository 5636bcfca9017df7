#include "client/pager/tree/fork_shares.h"

#include <algorithm>
#include <cstdint>

#include "common/units.h"

namespace farswap::pager {

void ForkShares::Protect(ProcessMm* mm) {
  mm->uffd().SetSharing(UffdProcess::Sharing::kYes);
  ProtectAll(mm);
}

void ForkShares::ProtectAll(ProcessMm* mm) {
  bool all = true;
  for (const auto& piece : mm->regions.All()) {
    all &= mm->uffd().Protect(piece.start, piece.pages() * kPageBytes);
  }
  mm->unprotected.store(!all, std::memory_order_relaxed);
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
  const uint64_t shared = uffd.CountShared(range.start, range.end).guarded;
  if (shared == 0) {
    // Perhaps nothing next to it is shared any more either.
    const RegionTable::Piece block = Around(*mm, page, kPagesPerPmd);
    if (uffd.CountShared(block.start, block.end).guarded == 0) range = block;
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
  if (uffd.Unprotect(range.start, range.pages() * kPageBytes)) {
    // From when they are open: or they would be given back. What is found
    // before is charged twice until that.
    shared_.promises.Give(shared);
    return true;
  }
  group_.Uncharge(shared);
  return false;
}

void ForkShares::End(ProcessMm* mm) {
  for (const auto& piece : mm->regions.All()) {
    (void)mm->uffd().Unprotect(piece.start, piece.pages() * kPageBytes);
  }
  // What has become its own by this is still to be found.
  mm->uffd().SetSharing(UffdProcess::Sharing::kEnding);
}

uint64_t ForkShares::BeginLook(
    const std::vector<std::shared_ptr<ProcessMm>>& all) {
  for (const auto& mm : all) {
    if (mm->unprotected.load(std::memory_order_relaxed)) ProtectAll(mm.get());
  }
  return shared_.promises.given();
}

void ForkShares::EndLook(uint64_t promised, uint64_t open_or_left) {
  const uint64_t used = shared_.promises.taken() + open_or_left;
  const uint64_t unused = promised - std::min(promised, used);
  const uint64_t twice = std::min(unused, unused_);
  const uint64_t back = shared_.promises.Take(twice);
  if (back > 0) group_.Uncharge(back);
  unused_ = unused - twice;
}

}  // namespace farswap::pager

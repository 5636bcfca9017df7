#include "client/pager/tree/sharers.h"

#include <algorithm>

#include "common/units.h"

namespace farswap::pager {

Sharers::Sharers(Shared* shared,
                 const std::vector<std::shared_ptr<ProcessMm>>& all)
    : shared_(*shared) {
  for (const auto& mm : all) {
    if (mm->uffd().forked()) mms_.push_back(mm);
  }
  // Those first of which pages can be taken out.
  std::stable_partition(mms_.begin(), mms_.end(), [](const auto& mm) {
    return mm->uffd().CanTakeOut() && !mm->uffd().stalled();
  });
  for (const auto& mm : mms_) {
    // A fork from here on sets it anew.
    mm->uffd().SetSharing(UffdProcess::Sharing::kEnding);
    bool shares = false;
    for (const auto& piece : mm->regions.All()) shares |= Look(mm.get(), piece);
    if (shares) mm->uffd().SetSharing(UffdProcess::Sharing::kYes);
  }
}

bool Sharers::Look(ProcessMm* mm, const RegionTable::Piece& piece) {
  UffdProcess& uffd = mm->uffd();
  bool shares = false;
  const char* at = piece.start;
  while ((at = uffd.FirstPresent(at, piece.end)) != piece.end) {
    // What the block of that page has of the piece.
    const uint64_t page =
        piece.page + static_cast<uint64_t>(at - piece.start) / kPageBytes;
    const uint64_t pages =
        std::min(kPagesPerPmd - page % kPagesPerPmd,
                 static_cast<uint64_t>(piece.end - at) / kPageBytes);
    char* const start = piece.start + (page - piece.page) * kPageBytes;
    at = start + pages * kPageBytes;
    const UffdProcess::SharedPages count = uffd.CountShared(start, at);
    open_ += count.open;
    if (count.open + count.guarded == 0) continue;
    shares = true;
    NoteFolios(mm, {start, start + pages * kPageBytes, piece.region, page});
  }
  return shares;
}

void Sharers::NoteFolios(const ProcessMm* mm, const RegionTable::Piece& part) {
  Region* const region = part.region.get();
  MutexLock lock(shared_.LockOf(region, part.page));
  const Residents residents = SpaceOf(*region).LookAt(part.start, part.pages());
  for (size_t i = residents.shared._Find_first(); i < residents.shared.size();
       i = residents.shared._Find_next(i)) {
    if (region->map().Get(part.page + i).kind() == PageWord::Kind::kFolio) {
      counted_.emplace(residents.names[i], mm);
    }
  }
}

uint64_t Sharers::Adopt(ProcessMm* mm) {
  const uint64_t left = mm->Adopt([&](uint64_t name) {
    return counted_.emplace(name, mm).first->second == mm;
  });
  if (left == 0) mm->uffd().EndSharing();
  return left;
}

}  // namespace farswap::pager

#include "client/pager/tree/sharers.h"

#include <algorithm>

#include "common/units.h"

namespace farswap::pager {
namespace {

// Splits a piece into what each block of its region has of it.
std::vector<RegionTable::Piece> BlocksOf(RegionTable::Piece piece) {
  std::vector<RegionTable::Piece> parts;
  while (piece.start < piece.end) {
    const uint64_t pages =
        std::min(piece.pages(), kPagesPerPmd - piece.page % kPagesPerPmd);
    char* const next = piece.start + pages * kPageBytes;
    parts.push_back(piece.In(piece.start, next));
    piece = {next, piece.end, piece.region, piece.page + pages};
  }
  return parts;
}

PageSet FirstPages(size_t pages) {
  return ~PageSet() >> (kPagesPerPmd - pages);
}

// Those of a piece of a block that are folios, and another process's too.
PageSet SharedFoliosLocked(ProcessMm* mm, const RegionTable::Piece& piece) {
  PageSet folios;
  const PageMap& map = piece.region->map();
  for (size_t i = 0; i < piece.pages(); ++i) {
    folios[i] = map.Get(piece.page + i).kind() == PageWord::Kind::kFolio;
  }
  if (folios.none()) return folios;
  return folios & mm->uffd().LookAt(piece.start, piece.pages()).shared;
}

}  // namespace

Sharers::Sharers(Shared* shared,
                 const std::vector<std::shared_ptr<ProcessMm>>& all)
    : shared_(*shared) {
  for (const auto& mm : all) {
    if (mm->uffd().forked()) mms_.push_back(mm);
  }
  std::stable_partition(mms_.begin(), mms_.end(),
                        [](const auto& mm) { return mm->uffd().CanTakeOut(); });
}

PageSet Sharers::CountedLocked(const ProcessMm& mm,
                               const RegionTable::Piece& run,
                               Mutex* held) const {
  PageSet counted;
  for (const auto& other : mms_) {
    if (other.get() == &mm) continue;
    for (const auto& piece : other->regions.PiecesIn(run.start, run.end)) {
      for (const auto& part : BlocksOf(piece)) {
        const OtherLock lock(&shared_, part.region.get(), part.page, held);
        const auto at =
            static_cast<size_t>(part.start - run.start) / kPageBytes;
        // Not known: perhaps. It is asked again.
        counted |= (lock.owned() ? SharedFoliosLocked(other.get(), part)
                                 : FirstPages(part.pages()))
                   << at;
      }
    }
  }
  return counted;
}

uint64_t Sharers::CountOpen() const {
  uint64_t open = 0;
  for (const auto& mm : mms_) {
    for (const auto& piece : mm->regions.All()) {
      const char* at = piece.start;
      while ((at = mm->uffd().FirstPresent(at, piece.end)) != piece.end) {
        const char* const end =
            at +
            std::min<size_t>(kPmdBytes, static_cast<size_t>(piece.end - at));
        open += mm->uffd().CountOpen(at, end);
        at = end;
      }
    }
  }
  return open;
}

}  // namespace farswap::pager

#include "client/pager/forget.h"

#include <algorithm>

namespace farswap::pager {

void Forget::Range(Region* region, uint64_t page, uint64_t pages,
                   PageWord word) {
  const uint64_t end = page + pages;
  while (page < end) {
    const uint64_t next =
        std::min(end, AlignDown(page, kPagesPerPmd) + kPagesPerPmd);
    const uint64_t pages = next - page;
    MutexLock lock(shared_.LockOf(region, page));
    // Of what was found most may be address space that nobody ever touched.
    const bool untouched =
        region->found() && word.kind() != PageWord::Kind::kPoisoned &&
        pages == kPagesPerPmd &&
        region->map().GetBlock(page / kPagesPerPmd) == PageWord();
    if (!untouched) RangeLocked(region, page, pages, word);
    page = next;
  }
}

void Forget::RangeLocked(Region* region, uint64_t page, uint64_t pages,
                         PageWord word) {
  PageMap& map = region->map();
  const PageWord block = map.GetBlock(page / kPagesPerPmd);
  const bool whole = pages == kPagesPerPmd;
  if (whole && block.kind() == PageWord::Kind::kSwap) {
    shared_.swap.PutEntries(block.entry(), kPagesPerPmd, region->group());
    shared_.counters.remote_pages.Sub(kPagesPerPmd);
  } else if (!whole || !block.is_zeros()) {
    for (uint64_t at = page; at < page + pages;) {
      at += PageLocked(region, at, page + pages);
    }
  }
  if (whole) return map.Set(page, kPmdOrder, word);
  for (uint64_t at = page; at < page + pages; ++at) map.Set(at, 0, word);
}

uint64_t Forget::PageLocked(Region* region, uint64_t page, uint64_t end) {
  for (;;) {
    const PageWord word = region->map().Get(page);
    if (word.kind() == PageWord::Kind::kSwap) {
      shared_.swap.PutEntries(word.entry(), 1, region->group());
      shared_.counters.remote_pages.Sub(1);
      return 1;
    }
    if (word.kind() != PageWord::Kind::kFolio) return 1;
    core::Folio* const folio =
        shared_.folios.At(static_cast<core::FolioId>(word.value()));
    const uint64_t pages = PagesOf(folio->order);
    // A folio of the range's own, or (no memory to cut it) one that loses its
    // other pages to nobody: they are there, and found as those are that the
    // program discarded and MADV_FREE left.
    const bool inside = folio->index == page && page + pages <= end;
    if (inside || !SplitLocked(folio, nullptr)) {
      if (!inside) region->map().SetDiscarded(page / kPagesPerPmd);
      region->map().Set(folio->index, folio->order, PageWord());
      FolioLocked(folio);
      return inside ? pages : 1;
    }
  }
}

void Forget::FolioLocked(core::Folio* folio) {
  const uint64_t pages = PagesOf(folio->order);
  folio->group->LruDel(folio);
  folio->group->Uncharge(pages);
  shared_.counters.resident_pages.Sub(pages);
  folio->mapped = false;
  DropSwapLocked(folio);
  shared_.folios.Put(folio);
}

void Forget::DropSwapLocked(core::Folio* folio) {
  // A put under way frees the slots when it is done.
  if (!folio->has_swap || folio->writeback) return;
  if (!shared_.swap.FolioFreeSwap(folio)) {
    // They are a forked child's from now on.
    shared_.swap.SwapCacheDelFolio(folio, /*age=*/0);
  }
}

bool Forget::SplitLocked(core::Folio* folio, std::vector<core::Folio*>* parts) {
  Region* const region = RegionOf(folio);
  const int order = folio->order > kPartOrder ? kPartOrder : 0;
  std::vector<core::Folio*> fresh;
  for (uint32_t at = 0; at < PagesOf(folio->order); at += PagesOf(order)) {
    core::Folio* const part =
        shared_.folios.Allocate(order, folio->group, region, folio->index + at);
    if (part == nullptr) {
      for (core::Folio* other : fresh) shared_.folios.Put(other);
      return false;
    }
    fresh.push_back(part);
  }
  for (core::Folio* part : fresh) {
    part->mapped = true;
    region->map().Set(part->index, order, PageWord::Folio(part->id));
    folio->group->LruAdd(part, /*active=*/false);
  }
  folio->mapped = false;
  folio->group->LruDel(folio);
  DropSwapLocked(folio);
  shared_.folios.Put(folio);  // The page map's reference.
  if (parts != nullptr) *parts = std::move(fresh);
  return true;
}

}  // namespace farswap::pager

#include "client/core/table_view.h"

namespace farswap::core {

SwapPart TableView::PartOf(uint32_t slot) const {
  uint32_t head = slot;
  // Slot 0 is never a tail; the bound is for a view of changing words.
  while (head > 0 && Get(head).tail()) --head;
  uint32_t end = slot + 1;
  while (end < kSlotsPerCluster && Get(end).tail()) ++end;
  return {head, end - head};
}

bool TableView::IsFolioShaped(uint32_t slot, uint32_t pages) const {
  for (uint32_t i = 0; i < pages; ++i) {
    if (Get(slot + i).tail() != (i % kPagesPerPart != 0)) return false;
  }
  // The last part ends where the range does.
  const uint32_t end = slot + pages;
  return end == kSlotsPerCluster || !Get(end).tail();
}

bool TableView::IsAttached(uint32_t slot, uint32_t pages, FolioId folio) const {
  for (uint32_t i = slot; i < slot + pages; ++i) {
    const SwapWord word = Get(i);
    if (!word.is_cached() || word.folio() != folio) return false;
  }
  return true;
}

}  // namespace farswap::core

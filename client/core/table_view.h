// The table of a cluster, and a look at it.
//
// With the cluster's lock a view shows the words of one moment. Without it
// (inside a TableReaders::Hold) each word is a snapshot of its own: what is
// said of several words is then true only if nobody can change them, and else
// a hint that is looked at again under the lock.
#ifndef FARSWAP_CLIENT_CORE_TABLE_VIEW_H_
#define FARSWAP_CLIENT_CORE_TABLE_VIEW_H_

#include <atomic>
#include <cstdint>

#include "client/core/folio.h"
#include "client/core/swap_table.h"
#include "common/units.h"

namespace farswap::core {

// Writers hold the cluster's lock; readers need not.
struct SwapTable {
  std::atomic<uint64_t> words[kSlotsPerCluster] = {};
};
static_assert(sizeof(SwapTable) == kPageBytes);

// What one sum covers.
struct SwapPart {
  uint32_t head = 0;
  uint32_t pages = 1;
};

class TableView {
 public:
  // Null: the cluster has no table, so all its words are Null.
  explicit TableView(const SwapTable* table) : table_(table) {}

  // Acquire: who sees a folio's id sees the folio that was attached.
  SwapWord Get(uint32_t slot) const {
    if (table_ == nullptr) return SwapWord();
    return SwapWord(table_->words[slot].load(std::memory_order_acquire));
  }

  // The folio attached to the slot, with a reference, or null: as the kernel's
  // readers without the lock get it. Look, try to get a reference, look again:
  // the word still names the folio, so it is the one that is attached now, and
  // whoever detaches it leaves us the reference. Null and `contested` if the
  // word changed at each of kGetTries. (An optional pointer would be copied
  // whole right after its halves were stored: a stall, a fifth of a lookup.)
  static constexpr int kGetTries = 8;
  Folio* GetAttached(uint32_t slot, FolioArena* folios, bool* contested) const {
    return GetAttached(slot, folios, contested, [] {});
  }
  // `looked` runs between the first look and the try: for tests.
  template <typename Looked>
  Folio* GetAttached(uint32_t slot, FolioArena* folios, bool* contested,
                     Looked looked) const;

  // The part that covers the slot. Its T bits do not change while one of its
  // slots has an owner and no folio is attached: the caller's map naming the
  // slot, and the lock of that map, are as good as the cluster's lock.
  SwapPart PartOf(uint32_t slot) const;
  // Whether the slots are cut into the parts of one folio.
  bool IsFolioShaped(uint32_t slot, uint32_t pages) const;
  // Whether all are Cached by that folio.
  bool IsAttached(uint32_t slot, uint32_t pages, FolioId folio) const;

 private:
  const SwapTable* table_;
};

template <typename Looked>
Folio* TableView::GetAttached(uint32_t slot, FolioArena* folios,
                              bool* contested, Looked looked) const {
  for (int i = 0; i < kGetTries; ++i) {
    const SwapWord word = Get(slot);
    if (!word.is_cached()) return nullptr;
    // The arena is type-stable: at worst this is another folio by now.
    Folio* folio = folios->At(word.folio());
    looked();
    // No reference, not even the cache's: it was detached since.
    if (!FolioArena::TryGet(folio)) continue;
    const SwapWord now = Get(slot);
    if (now.is_cached() && now.folio() == word.folio()) return folio;
    folios->Put(folio);
  }
  *contested = true;
  return nullptr;
}

}  // namespace farswap::core

#endif  // FARSWAP_CLIENT_CORE_TABLE_VIEW_H_

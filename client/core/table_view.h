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

}  // namespace farswap::core

#endif  // FARSWAP_CLIENT_CORE_TABLE_VIEW_H_

// One cluster in use or to be used: whose it is, its swap table, and how many
// owners those of its slots have whose count does not fit into a word.
//
// Everything here but the list link is guarded by the cluster's lock; the
// link, and with it `state` and `order`, by the lists' lock as well: they are
// written with both held, so either is enough to read them.
//
// Invariants.
//  1. used() is the number of words that are not Null. The table exists while
//     it is above zero; and after that, all Null, while somebody may still be
//     reading it (see TableKeeper).
//  2. cached_only() is the number of Cached words without an owner.
//  3. A word's count is 7 if and only if the overflow table holds 7 or more
//     for the slot; that table exists while any slot needs it.
//  4. The slots of a part are all Shadow, or all Cached by one folio. A slot
//     whose last owner has gone becomes Null only together with the rest of
//     its part: one sum covers them all, so none may be overwritten while
//     another must still be fetched and verified. Only such a slot is a
//     Shadow without an owner.
#ifndef FARSWAP_CLIENT_CORE_CLUSTER_INFO_H_
#define FARSWAP_CLIENT_CORE_CLUSTER_INFO_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "absl/functional/function_ref.h"
#include "client/core/folio.h"
#include "client/core/swap_entry.h"
#include "client/core/swap_table.h"
#include "client/core/table_view.h"
#include "common/mutex.h"
#include "common/units.h"

namespace farswap::core {

// 2 KiB, rare: only forked pages have more than six owners.
struct OverflowTable {
  std::array<uint32_t, kSlotsPerCluster> counts = {};
  uint32_t used = 0;  // Counts that are not zero.
};

// Where a cluster is: all but kNone are lists.
enum class ClusterState : uint8_t {
  kNone,     // Just made, in the hands of one thread.
  kAbsent,   // Not granted: the index is unused.
  kFree,     // No slot in use, no table.
  kNonfull,  // Something was freed since it was last scanned.
  kFrag,     // Scanned, and left partly full.
  kFull,
  kRetired,  // Lost: serves no order any more.
};

struct ClusterLink {
  ClusterIndex next = 0;
  ClusterIndex prev = 0;
};

class ClusterInfo {
 public:
  ClusterInfo() = default;
  ~ClusterInfo();
  ClusterInfo(const ClusterInfo&) = delete;
  ClusterInfo& operator=(const ClusterInfo&) = delete;

  mutable Mutex mu;

  // --- table; REQUIRES: it exists where a word is written ---

  SwapWord Get(uint32_t slot) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    return View().Get(slot);
  }
  // The words; the lock is not required. REQUIRES: `mu` is held, or else, while
  // the view is in use, a TableReaders::Hold of this cluster.
  TableView View() const { return TableView(table_.load()); }
  // Returns the bytes it allocated.
  size_t MakeTable() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  // Frees the table, if there is one, unless `is_read` says that somebody
  // reads it: that is asked when nobody can come to it any more, as its pointer
  // is null. Returns the bytes it freed. REQUIRES: used() is 0.
  size_t FreeTable(absl::FunctionRef<bool()> is_read)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  bool has_table() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);

  uint32_t used() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) { return used_; }
  uint32_t cached_only() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    return cached_only_;
  }

  // --- owners ---

  uint32_t Owners(uint32_t slot) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  void AddOwner(uint32_t slot) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  // Null if the slot was Shadow and nobody owns its part any more.
  // REQUIRES: it has an owner.
  void DropOwner(uint32_t slot) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  size_t overflow_bytes() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    return overflow_ == nullptr ? 0 : sizeof(OverflowTable);
  }

  // --- ranges: the slots of a folio ---

  // Slots in a row that are Null, aligned to their number, looked for from
  // `start` on, round the end. -1 if there are none.
  int FindNull(uint32_t pages, uint32_t start) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  // Null to Cached, without owner, sum, Z or T.
  void Attach(uint32_t slot, uint32_t pages, FolioId folio)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  // Shadow to Cached.
  void ToCached(uint32_t slot, uint32_t pages, FolioId folio)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  // Cached to Shadow, or to Null where nobody owns the part.
  void ToShadow(uint32_t slot, uint32_t pages, uint32_t age)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  void ToNull(uint32_t slot, uint32_t pages) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);

  // --- parts ---

  // Keep type, value and count.
  void SetPart(uint32_t slot, uint32_t pages, uint32_t sum)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  void SetZero(uint32_t slot, uint32_t pages) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);

  void CheckInvariants() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);

  // The grant, but for its padding: see ClusterGrant.
  uint64_t number ABSL_GUARDED_BY(mu) = 0;
  uint64_t generation ABSL_GUARDED_BY(mu) = 0;
  uint32_t session ABSL_GUARDED_BY(mu) = 0;

  ClusterLink link;  // Guarded by the lists' lock.
  ClusterState state ABSL_GUARDED_BY(mu) = ClusterState::kNone;
  // The one order that the cluster serves while it has a table; only order 0
  // may be served by any.
  uint8_t order ABSL_GUARDED_BY(mu) = 0;

 private:
  friend class ClusterInfoPeer;  // Tests: what takes 2^32 steps to reach.

  // The only writer of words: keeps used_ and cached_only_.
  void Set(uint32_t slot, SwapWord word) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  void SetOwners(uint32_t slot, uint32_t owners)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  void SetOverflow(uint32_t slot, uint32_t owners)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  // Makes a Shadow part Null if no slot of it has an owner.
  void ReleasePart(SwapPart part) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  void CheckPart(SwapPart part) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);

  uint16_t used_ ABSL_GUARDED_BY(mu) = 0;
  uint16_t cached_only_ ABSL_GUARDED_BY(mu) = 0;
  std::atomic<SwapTable*> table_{nullptr};
  OverflowTable* overflow_ ABSL_GUARDED_BY(mu) = nullptr;
};

// 96 / 512 = 0.19 bytes a slot; with the table 8.19.
static_assert(sizeof(ClusterInfo) <= 96);

}  // namespace farswap::core

#endif  // FARSWAP_CLIENT_CORE_CLUSTER_INFO_H_

// Lru: which folios of a memory group are taken out first, and what shows that
// one is used.
//
// User space has no accessed bit. All it sees of a mapped folio is that it
// faults once it is unmapped. So:
//
//   a fault -> inactive --tail--> kept ------tail------> evicted
//                ^                 | fault: soft            | fault: hard
//                | tail            v                        v
//              active <------------+<--- it came back soon -+--> inactive
//
// - Two lists of mapped folios, inactive and active, after mm/vmscan.c, each in
//   the order of its entries. A new folio is inactive; victims are inactive;
//   what is active is moved to inactive while that is the smaller.
// - Kept: a victim is unmapped, but its bytes stay for as long as it takes to
//   evict a 32nd of the memory. A fault in that time is soft: it costs no RPC,
//   and it makes the folio active.
// - A shadow keeps the age at which a folio was evicted; the age goes on by the
//   pages of each eviction and each activation (mm/workingset.c). A folio that
//   comes back before an 8th of the memory went by is active too.
// - One that comes back later, but so soon that it would be here still had the
//   active folios made room, costs them half its pages: the oldest active ones
//   are moved to inactive, where they have to show again that they are used.
//
// Why these figures. A soft fault with the unmapping before it costs half of a
// hard one's 115 us (move out 35, trap and copy in 25; the get 80 more), so it
// pays only while few victims are hot: a 32nd costs 6 to 16 soft faults for 100
// hard ones. Activating within half of the memory, which is nearer to the
// kernel's rule, tells nothing apart. And without the last rule, active folios
// that a program is done with stay: going around 70 to 90 % of the memory then
// missed at nearly each step, for ever. Measured by tests/bench/policy_bench;
// the table is in client/core/README.md.
//
// Thread-safe; the lock is a leaf.
#ifndef FARSWAP_CLIENT_CORE_LRU_H_
#define FARSWAP_CLIENT_CORE_LRU_H_

#include <atomic>
#include <cstdint>
#include <vector>

#include "client/core/folio.h"
#include "common/mutex.h"

namespace farswap::core {

class Lru {
 public:
  // What is kept, of the pages that a group may have.
  static constexpr uint64_t kKeptShare = 32;
  // The refault distance that is soon, of the pages on the lists.
  static constexpr uint64_t kSoonShare = 8;

  struct Stats {
    uint64_t inactive_pages = 0;
    uint64_t active_pages = 0;
    uint64_t kept_pages = 0;
    uint64_t refaults = 0;     // Folios that came back.
    uint64_t activations = 0;  // Of them: soon.
    uint64_t restores = 0;     // Of them: had been active before.
  };

  explicit Lru(FolioArena* folios) : folios_(folios) {}
  Lru(const Lru&) = delete;
  Lru& operator=(const Lru&) = delete;

  // --- mapped folios ---
  // REQUIRES: the folio is on no list.
  void Add(Folio* folio, bool active);
  // Off whatever list it is on, which is returned. If somebody isolated it,
  // his putback does nothing.
  LruList Del(Folio* folio);
  // Takes victims from the inactive tail until `pages` are gathered, each
  // isolated, with a reference. Appends to `victims`; returns their pages.
  uint64_t Isolate(uint64_t pages, std::vector<Folio*>* victims);
  // Takes that folio off inactive or active, isolated, with a reference.
  // False if it is on neither.
  bool IsolateFolio(Folio* folio);
  // Back to the inactive tail, the next victim: nothing was tried with it.
  // Keeps the caller's reference.
  void Return(Folio* folio);
  // Back to the inactive head, or the active list. Keeps the caller's
  // reference.
  void Putback(Folio* folio, bool active);

  // --- pinned folios: mapped, but no victims ---
  // False if it is neither inactive nor active.
  bool Pin(Folio* folio);
  // Back to the active list. False if it is not pinned.
  bool Unpin(Folio* folio);
  bool IsPinned(const Folio* folio) const;

  // --- unmapped folios whose bytes are here ---
  // REQUIRES: the folio is on no list; somebody has a reference until it is
  // off this one.
  void Keep(Folio* folio);
  // Takes the longest kept ones, as Isolate does. Del puts an end to it.
  uint64_t IsolateKept(uint64_t pages, std::vector<Folio*>* victims);
  // Takes all kept ones of that owner, as Isolate does.
  uint64_t IsolateKeptOf(const void* owner, std::vector<Folio*>* victims);

  // --- working set ---
  // The age to be kept in the shadow of a folio of that many pages that is
  // being evicted.
  uint32_t Evict(uint64_t pages);
  // A folio of that many pages that was evicted at `age` is back. Whether it
  // belongs on the active list.
  bool Refault(uint32_t age, uint64_t pages, bool was_active);

  // Of mapped folios.
  uint64_t pages() const;
  Stats stats() const;
  // Dies with a message if the lists contradict themselves, or a folio is of
  // another group.
  void CheckInvariants(const MemoryGroup* group) const;

 private:
  struct List {
    FolioId head = kNoFolio;
    FolioId tail = kNoFolio;
    uint64_t pages = 0;
  };
  void AddLocked(Folio* folio, LruList to) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void AddTailLocked(Folio* folio) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void RemoveLocked(Folio* folio) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  List& ListOf(LruList list) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Isolates a folio that is on a list; returns its pages.
  uint64_t IsolateLocked(Folio* folio, std::vector<Folio*>* victims)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Isolates the list's last folio; returns its pages, 0 if there is none.
  uint64_t IsolateTailLocked(const List& list, std::vector<Folio*>* victims)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void BalanceLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ActivateLocked(Folio* folio) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void CheckListLocked(const List& list, LruList name,
                       const MemoryGroup* group) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // What active owes to a refault of that many pages is moved to inactive.
  void ChallengeLocked(uint64_t pages) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void DeactivateLocked(Folio* folio) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  FolioArena* const folios_;
  std::atomic<uint64_t> age_{0};
  std::atomic<uint64_t> refaults_{0};
  std::atomic<uint64_t> activations_{0};
  std::atomic<uint64_t> restores_{0};

  mutable Mutex mu_;
  List inactive_ ABSL_GUARDED_BY(mu_);
  List active_ ABSL_GUARDED_BY(mu_);
  List kept_ ABSL_GUARDED_BY(mu_);
  List pinned_ ABSL_GUARDED_BY(mu_);
  // Halves of pages that active is still to give up: less than a folio's.
  uint64_t owed_halves_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace farswap::core

#endif  // FARSWAP_CLIENT_CORE_LRU_H_

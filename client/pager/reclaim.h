// Reclaim: decides which folios are taken out, when, and on whose time.
//
// A thread of its own keeps between the watermarks of each group what is free
// under its limit; a faulting worker takes folios out itself when the limit
// leaves it no room. How one folio goes is in take_out.h.
//
// Thread-safe.
#ifndef FARSWAP_CLIENT_PAGER_RECLAIM_H_
#define FARSWAP_CLIENT_PAGER_RECLAIM_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "client/core/memory_group.h"
#include "client/pager/cluster_supply.h"
#include "client/pager/shared.h"
#include "client/pager/take_out.h"
#include "common/mutex.h"

namespace farswap::pager {

class Reclaim {
 public:
  // `chores`: what else the background thread is to do, after each reclaim and
  // at least once a second.
  Reclaim(Shared* shared, std::function<void()> chores);
  ~Reclaim();
  Reclaim(const Reclaim&) = delete;
  Reclaim& operator=(const Reclaim&) = delete;

  // Starts the background thread. RESOURCE_EXHAUSTED if there is none.
  absl::Status Start();
  // Ends it. Faults must have ended; puts end with the transport's shutdown.
  void Stop();

  // --- groups ---
  void AddGroup(std::shared_ptr<core::MemoryGroup> group);
  void RemoveGroup(const core::MemoryGroup* group);
  // Has the background thread look at every group: a limit has changed.
  void Kick();

  // Charges `pages` to the group, taking folios out until there is room.
  // False: there was none until `until`. `frees_slots`: the pages come from
  // slots; when no slot is free anywhere, they may go past the limit by a
  // little, because the slots they leave let others be taken out.
  bool Charge(core::MemoryGroup* group, uint64_t pages, SteadyTime until,
              bool frees_slots);
  // Charges if there is room; does not wait for any, nor take anything out.
  // `*over`, if asked for: the group that has none.
  bool TryCharge(core::MemoryGroup* group, uint64_t pages,
                 core::MemoryGroup** over = nullptr);
  // No server grants more clusters: folios that come in leave their slots.
  bool swap_full() const { return clusters_.full(); }

  // Takes every folio of the pages [first, end) out that will go, within the
  // fault deadline. Returns the pages.
  uint64_t TakeOutRange(Region* region, uint64_t first, uint64_t end);
  // Cuts the mapped folio of the page into smaller ones. False if it is on its
  // way out, in somebody's hands, pinned, or a page already.
  bool Cut(Region* region, uint64_t page);

  // --- kept folios (take_out.h) ---
  void DropKeptOf(Region* region) { take_out_.DropKeptOf(region); }
  char* UnkeepLocked(core::Folio* folio) {
    return take_out_.UnkeepLocked(folio);
  }
  char* DropLocked(core::Folio* folio) { return take_out_.DropLocked(folio); }

  // The id of the background thread; 0: not running.
  int tid() const { return tid_.load(std::memory_order_acquire); }

 private:
  void Run();
  void Background();
  void ReclaimGroups();
  // Wakes who waits for room, staging or a put's place.
  void Progress();
  void WaitForProgress(SteadyTime until);
  // Returns the pages.
  uint64_t TakeOutOf(core::MemoryGroup* group, uint64_t pages,
                     SteadyTime until);
  // The mapped folio of the page, isolated, or null; `*pages`: how far it, or
  // what stands there instead, reaches.
  core::Folio* Isolate(Region* region, uint64_t page, uint64_t* pages);

  Shared& shared_;
  const std::function<void()> chores_;
  ClusterSupply clusters_;
  TakeOut take_out_;
  std::atomic<int> tid_{0};
  std::atomic<bool> stop_{false};
  // The background thread waits for a put to be done.
  std::atomic<bool> stalled_{false};

  Mutex mu_;
  CondVar work_;      // For the background thread.
  CondVar progress_;  // For who waits for room.
  bool kicked_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<std::shared_ptr<core::MemoryGroup>> groups_ ABSL_GUARDED_BY(mu_);
  std::thread thread_;
};

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_RECLAIM_H_

// The address space of another process, paged from here.
//
// Pages are brought in by COPY, which works from outside. They are taken out in
// three steps: the process's mover moves them to its transit, which unmaps and
// captures them at once; they are read from there; and transit is emptied, a
// half at a time, when it is full. The zap raises an event that its thread
// sleeps on, so it is never asked for while the gate of MapEvents is held.
//
// A mover that does not answer a MOVE in time may do it later. So that it
// cannot, the rest of transit is filled: page by page either the move was there
// first, or it is refused from then on.
//
// Until the process has a mover (a child before its fork has returned there, or
// made by a raw clone), nothing is taken out of it.
//
// Thread-safe, as UffdSpace.
#ifndef FARSWAP_CLIENT_PAGER_UFFD_PROCESS_H_
#define FARSWAP_CLIENT_PAGER_UFFD_PROCESS_H_

#include <errno.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "client/pager/mover.h"
#include "client/pager/uffd_space.h"
#include "client/pager/vacated.h"
#include "common/mutex.h"
#include "common/units.h"

namespace farswap::pager {

class UffdProcess final : public UffdSpace {
 public:
  static constexpr size_t kTransitBytes = 2 * kPmdBytes;

  // `uffd`: it tells of forks (UffdSpace::Enable). `transit`: kTransitBytes of
  // the process, 2 MiB aligned, which are not inherited.
  UffdProcess(OwnFd uffd, char* transit);

  char* transit() const { return transit_; }
  // The process has reported in, and its transit is registered. `pagemap`: its
  // /proc/PID/pagemap, not used if it has one. Once.
  void Attach(OwnFd pagemap, std::unique_ptr<Mover> mover);
  bool CanTakeOut() override { return mover() != nullptr; }
  // Of one that may never report in: by a thread of its. Not if it has one.
  void SetPagemapOf(uint32_t tid);
  bool has_pagemap() const { return pagemap_fd() >= 0; }
  // Nothing of the ranges is taken out, until this is called anew.
  void Spare(std::vector<AddressRange> ranges);
  // Its mover does not answer: it is stopped.
  bool stalled() const { return stalled_.load(std::memory_order_relaxed); }
  // It has ended, or called exec: every operation says ESRCH, or will.
  void SetGone() { gone_.store(true, std::memory_order_relaxed); }
  // Whether there still is such an address space. Asks the kernel.
  bool IsAlive();
  // A thread of it that faulted; 0: none has.
  uint32_t a_thread() const { return tid_.load(std::memory_order_relaxed); }
  // --- what it shares since a fork ---
  // Missing pages of the range become faults, and writes to pages that are
  // protected.
  absl::Status RegisterAll(char* at, size_t bytes);
  // What of the range is not registered, as nothing was mapped there when it
  // was. What is not known counts as such: while changes are unread, and what
  // is more than can be asked for.
  std::vector<AddressRange> NotRegistered(char* at, size_t bytes) {
    std::vector<AddressRange> found;
    (void)FindUnregistered(at, bytes, &found);
    return found;
  }
  // Whether all of the range is one registered mapping. No, too, while changes
  // are unread.
  bool IsRegistered(char* at, size_t bytes) {
    return ProbeRegistered(at, bytes) == EINVAL;
  }
  // The first write to each present page becomes a fault, until Unprotect,
  // which lets who waits go on. False: not all of it, at the moment.
  bool Protect(char* at, size_t bytes);
  bool Unprotect(char* at, size_t bytes);
  bool IsProtected(const char* at);
  // How many pages, of at most kPmdBytes, are in another process too, and
  // protected, so that their first write is told; or not, so that a copy may
  // come of each without a word.
  struct SharedPages {
    uint64_t guarded = 0;
    uint64_t open = 0;
  };
  SharedPages CountShared(const char* at, const char* end) const;
  // Its pages may be shared with a child, or its parent. kEnding: no more, but
  // what it had is still to be looked for.
  enum class Sharing { kNo, kYes, kEnding };
  bool forked() const { return sharing_.load() != Sharing::kNo; }
  void SetSharing(Sharing sharing) { sharing_.store(sharing); }
  // It was looked for: kNo, unless it has begun anew.
  void EndSharing() {
    Sharing ending = Sharing::kEnding;
    sharing_.compare_exchange_strong(ending, Sharing::kNo);
  }

  // For the reader. As UffdSpace::TryNext; notes what may have happened at the
  // same time as a fork.
  std::optional<Message> TryNextNoted();
  // A fork was read. Waits, not for long, for what had happened then to be
  // read too; returns the moves and unmappings that nobody knows of whether
  // the child has them. False: there may be more.
  bool TakeUnclear(std::vector<MapEvent>* unclear);

  OpResult MoveIn(char* to, char* from, size_t bytes) override {
    return CopyIn(to, from, bytes);
  }
  OpResult MoveOut(char* to, char* from, size_t bytes) override;
  OpResult Unshare(char* at, size_t bytes, uint64_t* opened) override;
  // Not from outside.
  OpResult Zap(char* at, size_t bytes) override;
  OpResult DropTable(char* block) override;
  void Unmap(char* at, size_t bytes) override {}
  bool MakeFault(char* at, size_t bytes) override {
    return RegisterAll(at, bytes).ok();
  }
  bool FindUnmapped(char* at, size_t bytes,
                    std::vector<AddressRange>* unmapped) override;
  bool End(const char* why) override;
  Residents LookAt(const char* at, size_t pages) override;
  bool IsAwaited(const char* at) override;
  bool IsGone() override { return !IsAlive(); }

 private:
  bool HasMessage() const;
  // As NotRegistered; false: some is not known.
  bool FindUnregistered(char* at, size_t bytes,
                        std::vector<AddressRange>* found);
  // EINVAL if all of it is one registered mapping, else ENOENT or EAGAIN.
  int ProbeRegistered(char* at, size_t bytes);
  Mover* mover() const { return mover_.load(std::memory_order_acquire); }
  // Whether it ends within a second: what cannot be read of it is no wonder
  // then.
  bool IsEnding();
  bool SetProtection(char* at, size_t bytes, uint64_t mode);
  // The words of its pages in /proc/PID/pagemap; false: they cannot be had.
  bool ReadPagemap(const char* at, size_t pages, uint64_t* words) const;
  OpResult UnshareAlone(Mover* asked, char* at, size_t bytes, uint64_t* opened)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(unshare_mu_);
  void SetAwaited(const AddressRange& range);
  bool IsAwaiting();
  bool IsSpared(const char* at, size_t bytes);
  // A place in transit; null: it cannot be emptied now.
  char* TakeTransit(size_t bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(transit_mu_);
  bool EmptyHalf(size_t half) ABSL_EXCLUSIVE_LOCKS_REQUIRED(transit_mu_);
  OpResult MoveToTransit(char* transit, char* from, size_t bytes)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(transit_mu_);
  // After a move without an answer: how much of it was done, for good.
  OpResult Decide(char* transit, char* from, size_t bytes)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(transit_mu_);

  char* const transit_;
  std::unique_ptr<Mover> owned_mover_;
  std::atomic<Mover*> mover_{nullptr};
  std::atomic<bool> gone_{false};
  std::atomic<bool> stalled_{false};
  Mutex pagemap_mu_;  // Of who sets it.
  std::atomic<uint32_t> tid_{0};
  std::atomic<Sharing> sharing_{Sharing::kNo};

  // Held while the mover makes copies: some 200 ms at most. Tried only.
  Mutex unshare_mu_;
  // Where it does, or may still; empty: nowhere.
  Mutex awaited_mu_;  // A leaf.
  AddressRange awaited_ ABSL_GUARDED_BY(awaited_mu_);

  Mutex spared_mu_;  // A leaf.
  std::vector<AddressRange> spared_ ABSL_GUARDED_BY(spared_mu_);

  // Moves and unmappings that were read since the last moment at which nothing
  // was unread. The reader's; forks are taken in by others.
  Mutex unclear_mu_;
  std::vector<MapEvent> unclear_ ABSL_GUARDED_BY(unclear_mu_);
  int forks_pending_ ABSL_GUARDED_BY(unclear_mu_) = 0;

  // Held across a move, a read and a zap: some 100 us; a leaf lock.
  Mutex transit_mu_;
  size_t used_ ABSL_GUARDED_BY(transit_mu_) = 0;  // From its start.
  // Whether a half may have pages.
  bool filled_[2] ABSL_GUARDED_BY(transit_mu_) = {};
};

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_UFFD_PROCESS_H_

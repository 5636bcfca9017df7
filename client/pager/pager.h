// The pager of a process: far memory for explicit regions of its own.
//
// Owns the userfaultfd, the staging, the swap space, the transport, and the
// threads: workers that read faults leader-follower (one reads, hands the
// reading on, and serves what it read itself, the RPC included) and one for
// background reclaim. None of them touches far memory: a fault by one of them
// would never be served, so the process is aborted with a message.
//
// Thread-safe.
#ifndef FARSWAP_CLIENT_PAGER_PAGER_H_
#define FARSWAP_CLIENT_PAGER_PAGER_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/core/memory_group.h"
#include "client/pager/group_limit.h"
#include "client/pager/pager_stats.h"
#include "client/pager/region.h"
#include "client/remote/transport.h"
#include "common/units.h"

namespace farswap::pager {

using Group = core::MemoryGroup;

struct PagerOptions {
  // How long a fault waits for a server before its region's policy decides.
  std::chrono::milliseconds fault_deadline{60000};
  // Bytes for folios on their way in and out: a multiple of 2 MiB, at least
  // 8 MiB. On top of the groups' limits.
  size_t staging_bytes = size_t{32} << 20;
};

class AddressSpace;
class Hints;

class Pager {
 public:
  // What stands between the pager and the real address space, in tests that
  // inject its errors.
  using Wrap = std::function<std::unique_ptr<AddressSpace>(AddressSpace* real)>;

  // Errors: PermissionDenied (no privilege for userfaultfd), Unimplemented
  // (the kernel lacks something), InvalidArgument (an option).
  static absl::StatusOr<std::unique_ptr<Pager>> Create(
      const PagerOptions& options,
      std::unique_ptr<remote::Transport> transport);
  static absl::StatusOr<std::unique_ptr<Pager>> CreateForTest(
      const PagerOptions& options, std::unique_ptr<remote::Transport> transport,
      const Wrap& wrap);
  // REQUIRES: no region is left.
  ~Pager();
  Pager(const Pager&) = delete;
  Pager& operator=(const Pager&) = delete;

  // Local memory of the group's regions together, and of the groups below it,
  // in bytes. `parent`: the group that it is below, which counts its memory as
  // well; may be null. InvalidArgument below kMinGroupBytes, and when it would
  // be too deep.
  absl::StatusOr<Group*> CreateGroup(uint64_t limit_bytes,
                                     Group* parent = nullptr);
  // FailedPrecondition while a region of it, or a group below it, is left.
  absl::Status DestroyGroup(Group* group);
  // From now on that is the group's limit. A higher one gives room at once; a
  // lower one lets nothing more in, and background reclaim gets there at the
  // wire's speed. InvalidArgument as for CreateGroup, or if too much is pinned;
  // then nothing changes.
  absl::Status SetGroupLimit(Group* group, uint64_t limit_bytes);

  // What of the group's memory, and of that of the groups below it, may be in
  // slots; 0: no limit, as at first. What is beyond a lower one stays until it
  // comes back.
  absl::Status SetGroupSwapLimit(Group* group, uint64_t limit_bytes);

  absl::StatusOr<Region*> CreateRegion(Group* group,
                                       const RegionOptions& options);
  // Unmaps it and frees its slots. No thread may be touching it.
  absl::Status DestroyRegion(Region* region);

  // Takes all of the region out that will go, now: it is cold. Returns the
  // bytes. Waits for the wire as reclaim does.
  absl::StatusOr<uint64_t> PageOut(Region* region);

  // What the program knows of its use of ranges.
  Hints& hints();

  // --- fork (forks.h) ---
  // In the thread that is about to fork. Until ForkDone no fault is served.
  // `*socket`: the child's end of a socket, the caller's; -1 if there is none,
  // and then the child is refused.
  void PrepareFork(int* socket);
  // In that thread, when the parent's fork() returns.
  void ForkDone();
  // In the child, before anything else: closes what the parent's pagers had
  // open, of which others are to be told the end.
  static void InChild();

  PagerStats Stats() const;

  // Whether nothing is held of any region: no folio, slot, charge or staging.
  // So it is some time after the last region was destroyed: when the last put
  // is done.
  bool IsIdle() const;
  // Dies with a message if a structure contradicts itself. For tests, while
  // no fault, reclaim or put is under way.
  void CheckInvariants() const;

 private:
  class Impl;
  explicit Pager(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_PAGER_H_

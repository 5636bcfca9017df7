// The pager of a tree of processes: the same fault path, core and reclaim as a
// process's own pager (client/pager/pager.h), from outside, for many address
// spaces with one swap cache and one limit.
//
// Who makes a process a part of it, and says what of its map is to be far, is
// the caller (client/launcher). What it forks becomes a part of it here.
//
// Thread-safe.
#ifndef FARSWAP_CLIENT_PAGER_TREE_TREE_PAGER_H_
#define FARSWAP_CLIENT_PAGER_TREE_TREE_PAGER_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/pager/own_fd.h"
#include "client/pager/pager_stats.h"
#include "client/pager/tree/process_mm.h"
#include "client/remote/transport.h"

namespace farswap::pager {

class TreePager {
 public:
  struct Options {
    uint64_t limit_bytes = 0;  // Of all of them together, without staging.
    // How long a fault waits for a server before the page is poisoned.
    std::chrono::milliseconds fault_deadline{60000};
    // A multiple of 2 MiB, at least 8 MiB; on top of the limit.
    size_t staging_bytes = size_t{32} << 20;
    // A fork of a process was told, and the child has a copy of its page map.
    // Not yet served; it is when this returns. May not wait.
    std::function<void(const ProcessMm& parent,
                       const std::shared_ptr<ProcessMm>& child)>
        on_fork;
  };

  // Errors: InvalidArgument (an option), ResourceExhausted (threads,
  // descriptors).
  static absl::StatusOr<std::unique_ptr<TreePager>> Create(
      Options options, std::unique_ptr<remote::Transport> transport);
  // REQUIRES: no process is left.
  ~TreePager();
  TreePager(const TreePager&) = delete;
  TreePager& operator=(const TreePager&) = delete;

  // A process of its own, by a userfaultfd of it, which is fresh unless it is
  // `enabled` (UffdSpace::Enable), and where its transit is (UffdProcess).
  // Errors: Unimplemented (the kernel), PermissionDenied.
  absl::StatusOr<std::shared_ptr<ProcessMm>> Add(OwnFd uffd, bool enabled,
                                                 char* transit);
  // What it tells is read from now on. Errors: ResourceExhausted.
  absl::Status Begin(const std::shared_ptr<ProcessMm>& mm);
  // The process has ended, or called exec: frees what it had. Others may hold
  // the object for a while.
  void Remove(const std::shared_ptr<ProcessMm>& mm);

  // Whether that thread is one of a forked child that has not reported in. Ids
  // that are told of threads are those of their own pid namespace.
  static bool IsOf(const ProcessMm& mm, uint32_t tid);

  // InvalidArgument if it is less than 8 MiB.
  absl::Status SetLimit(uint64_t limit_bytes);
  // What is charged: the far memory of all processes that is local.
  uint64_t usage_bytes() const;
  PagerStats Stats() const;
  // Whether nothing is held of any process, some time after the last is gone.
  bool IsIdle() const;
  // For tests, while nothing is under way.
  void CheckInvariants() const;

 private:
  class Impl;
  explicit TreePager(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_TREE_TREE_PAGER_H_

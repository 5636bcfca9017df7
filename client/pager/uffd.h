// userfaultfd(2) of this process.
//
// Thread-safe. Next is for one reader at a time.
#ifndef FARSWAP_CLIENT_PAGER_UFFD_H_
#define FARSWAP_CLIENT_PAGER_UFFD_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "client/pager/uffd_block_table.h"
#include "client/pager/uffd_message.h"
#include "client/pager/uffd_space.h"
#include "client/pager/wait_set.h"
#include "common/mutex.h"

namespace farswap::pager {

class Uffd final : public UffdSpace {
 public:
  // Errors: PermissionDenied (what privilege is missing), Unimplemented (the
  // kernel lacks a feature; names it).
  static absl::StatusOr<std::unique_ptr<Uffd>> Create();

  // A forked child is to have the range, too, and its fork is to be told.
  // False: that takes a privilege (CAP_SYS_PTRACE) that this process had not.
  bool Inherit(char* at, size_t bytes);

  // --- fork ---
  // What was told while a thread forked.
  struct Forking {
    std::vector<Fault> faults;
    // To be applied in this order: what happened before the forks or, nobody
    // knows, after them; that of fork(), and those of raw clones; and discards
    // that came after them.
    std::vector<MapEvent> changes;
    std::vector<MapEvent> forks;
    std::vector<MapEvent> later;
    // Those of `changes` that nobody knows of whether a child has them.
    std::vector<MapEvent> unclear;
    // All changes that had happened when the fork was told are among these.
    // Else some may be told later, which the child has, or has not.
    bool settled = false;
  };
  // In the place of Next, by the reader of the time. BeginFork keeps operations
  // out. Another thread then calls ReadThroughFork, which neither allocates nor
  // locks, and returns when another one of the set is readable. EndFork lets
  // operations go on.
  void BeginFork();
  void ReadThroughFork(const WaitSet& set);
  Forking EndFork();

  OpResult MoveIn(char* to, char* from, size_t bytes) override;
  OpResult MoveOut(char* to, char* from, size_t bytes) override;
  OpResult Unshare(char* at, size_t bytes, uint64_t* opened) override;
  // Whether that thread was ever in Unshare. Then a fault of its is as good as
  // one of the program's, and may be told when the thread has gone on already.
  bool MayFault(uint32_t tid) const;
  OpResult Zap(char* at, size_t bytes) override;
  OpResult DropTable(char* block) override { return tables_.Drop(block); }
  // For tests: see BlockTable.
  char* scratch() { return tables_.scratch(); }
  void Unmap(char* at, size_t bytes) override;

 private:
  Uffd(OwnFd fd, int pagemap, bool forks)
      : UffdSpace(std::move(fd), OwnFd(pagemap), forks),
        tables_(this->fd(), &events_) {}
  OpResult Move(char* to, char* from, size_t bytes, const char* home);
  // All that can be read now, for EndFork.
  void ReadRaw();
  // Notes what of it was told before any fork began.
  void NoteCertain();

  BlockTable tables_;
  RawMessages forking_;
  size_t certain_ = 0;  // How many of these were told before a fork began.

  mutable Mutex unsharers_mu_;
  std::vector<uint32_t> unsharers_ ABSL_GUARDED_BY(unsharers_mu_);
};

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_UFFD_H_

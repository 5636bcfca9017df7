// userfaultfd(2), and PAGEMAP_SCAN beside it: the one file that knows them.
//
// Definitions newer than the installed headers (6.1) are in uffd.cc, their
// layouts asserted.
//
// Thread-safe. Next is for one reader at a time.
#ifndef FARSWAP_CLIENT_PAGER_UFFD_H_
#define FARSWAP_CLIENT_PAGER_UFFD_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/pager/address_space.h"
#include "client/pager/map_events.h"
#include "client/pager/own_fd.h"
#include "client/pager/uffd_block_table.h"
#include "client/pager/uffd_message.h"
#include "client/pager/wait_set.h"
#include "common/mutex.h"

namespace farswap::pager {

class Uffd final : public AddressSpace {
 public:
  // Errors: PermissionDenied (what privilege is missing), Unimplemented (the
  // kernel lacks a feature; names it).
  static absl::StatusOr<std::unique_ptr<Uffd>> Create();
  ~Uffd() override;

  // Missing pages of the range become faults from now on. The range must be
  // empty: what is present is not seen.
  absl::Status Register(char* at, size_t bytes);
  absl::Status Unregister(char* at, size_t bytes);
  // Whether forks are told.
  bool forks() const { return forks_; }
  // A forked child is to have the range, too, and its fork is to be told.
  // False: that takes a privilege (CAP_SYS_PTRACE) that this process had not.
  bool Inherit(char* at, size_t bytes);

  // To be waited for; this object's.
  int fd() const { return fd_.get(); }

  // Waits for a message, or until another one of the set is readable: then
  // nullopt. The first of the set is fd(). Between reading and returning
  // nothing can fail. Operations on the range of a change are refused (EAGAIN)
  // until Applied.
  std::optional<Message> Next(const WaitSet& set);

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
  // Memory of ours that no child has.
  void SetNotInherited(const char* at, size_t bytes) {
    events_.SetNotInherited(at, bytes);
  }

  OpResult CopyIn(char* to, const char* from, size_t bytes) override;
  OpResult MoveIn(char* to, char* from, size_t bytes) override;
  OpResult MoveOut(char* to, char* from, size_t bytes) override;
  OpResult Unshare(char* at, size_t bytes) override;
  // Whether that thread was ever in Unshare. Then a fault of its is as good as
  // one of the program's, and may be told when the thread has gone on already.
  bool MayFault(uint32_t tid) const;
  OpResult Zap(char* at, size_t bytes) override;
  OpResult DropTable(char* block) override { return tables_.Drop(block); }
  // For tests: see BlockTable.
  char* scratch() { return tables_.scratch(); }
  void Unmap(char* at, size_t bytes) override;
  OpResult Poison(char* at, size_t bytes) override;
  OpResult Wake(char* at, size_t bytes) override;
  bool IsPresent(const char* at) override;
  const char* FirstPresent(const char* at, const char* end) override;
  const char* FirstAbsent(const char* at, const char* end) override;
  bool IsHuge(const char* at) override;
  bool IsChanging(const char* at, size_t bytes) override {
    return events_.IsChanging(at, bytes);
  }
  bool IsMoving(const char* at, size_t bytes) override {
    return events_.IsMoving(at, bytes);
  }
  bool Settled(const char* at, size_t bytes) override;
  bool IsAllRead(size_t untold) override;
  bool GiveForked(char* to, const char* from) override;
  void Applied(const MapEvent& change) override { events_.Applied(change); }
  std::vector<char*> TakeLacked(int child) override {
    return events_.TakeLacked(child);
  }

 private:
  Uffd(int fd, int pagemap_fd, bool forks)
      : fd_(fd),
        pagemap_fd_(pagemap_fd),
        forks_(forks),
        tables_(fd, &events_) {}
  // `inverted`: pages of none of the categories.
  const char* Scan(const char* at, const char* end, uint64_t categories,
                   bool inverted = false);
  OpResult Move(char* to, char* from, size_t bytes, const char* home);
  // All that can be read now, for EndFork.
  void ReadRaw();
  // Notes what of it was told before any fork began.
  void NoteCertain();
  // Reads one message, if there is one: a fault is returned, changes are
  // appended to changes_.
  std::optional<Fault> Read();

  const OwnFd fd_;
  const int pagemap_fd_;
  const bool forks_;   // They are told.
  int spare_fd_ = -1;  // For a fork, when no other is left. The reader's.
  MapEvents events_;
  BlockTable tables_;
  RawMessages forking_;
  size_t certain_ = 0;  // How many of these were told before a fork began.
  std::vector<MapEvent> changes_;  // Read, not yet returned. The reader's.

  mutable Mutex unsharers_mu_;
  std::vector<uint32_t> unsharers_ ABSL_GUARDED_BY(unsharers_mu_);
};

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_UFFD_H_

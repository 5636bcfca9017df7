// What can be done to an address space by its userfaultfd(2), and PAGEMAP_SCAN
// beside it, from whatever process; and what it tells.
//
// Definitions newer than the installed headers (6.1) are in uffd_abi.h and
// uffd_space.cc, their layouts asserted.
//
// Thread-safe. Next and TryNext are for one reader at a time.
#ifndef FARSWAP_CLIENT_PAGER_UFFD_SPACE_H_
#define FARSWAP_CLIENT_PAGER_UFFD_SPACE_H_

#include <errno.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/pager/address_space.h"
#include "client/pager/map_events.h"
#include "client/pager/own_fd.h"
#include "client/pager/uffd_message.h"
#include "client/pager/wait_set.h"

namespace farswap::pager {

class UffdSpace : public AddressSpace {
 public:
  ~UffdSpace() override;

  // Has a fresh userfaultfd tell all that is needed. Whether forks are told:
  // that takes a privilege of this process. Unimplemented: the kernel lacks a
  // feature.
  static absl::StatusOr<bool> Enable(int uffd);

  // Missing pages of the range become faults from now on.
  absl::Status Register(char* at, size_t bytes);
  absl::Status Unregister(char* at, size_t bytes);
  // Whether forks are told.
  bool forks() const { return forks_; }

  // To be waited for; this object's.
  int fd() const { return fd_.get(); }

  // Waits for a message, or until another one of the set is readable: then
  // nullopt. The first of the set is fd(). Between reading and returning
  // nothing can fail. Operations on the range of a change are refused (EAGAIN)
  // until Applied.
  std::optional<Message> Next(const WaitSet& set);
  // As Next, if there is one now.
  std::optional<Message> TryNext();
  // Whether one was read that is still to be returned. For the reader.
  bool HasBuffered() const { return !changes_.empty(); }

  // Memory of ours that no child has.
  void SetNotInherited(const char* at, size_t bytes) {
    events_.SetNotInherited(at, bytes);
  }

  OpResult CopyIn(char* to, const char* from, size_t bytes) override;
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
  size_t CountUntold() override { return events_.count(); }
  bool GiveForked(char* to, const char* from) override;
  void Applied(const MapEvent& change) override { events_.Applied(change); }
  std::vector<char*> TakeLacked(int child) override {
    return events_.TakeLacked(child);
  }

 protected:
  // `pagemap`: of the same address space. None: then no page is known to be
  // present.
  UffdSpace(OwnFd fd, OwnFd pagemap, bool forks)
      : fd_(std::move(fd)), forks_(forks) {
    SetPagemap(std::move(pagemap));
  }
  absl::Status RegisterAs(char* at, size_t bytes, uint64_t mode);
  // Whether the kernel has an event that nobody has read yet.
  bool HasUnread() const;
  // Of an address space that is only known later; once.
  void SetPagemap(OwnFd pagemap);
  int pagemap_fd() const { return pagemap_fd_.load(std::memory_order_acquire); }
  // Whether a MOVE that says that there is a page has moved it itself: Linux
  // 6.18 may move a page more than it says, when another thread writes to pages
  // that a fork has shared (measured). Asked for the rest it finds its own
  // page: gone at its source, at its target already.
  bool HasMoved(const char* to, const char* from, int error) {
    return error == EEXIST && IsPresent(to) && !IsPresent(from);
  }
  // The first page that is the kernel's page of zeros, or `end`.
  const char* FirstOfKernelsZeros(const char* at, const char* end);
  // Reads one message, if there is one: a fault is returned, changes are
  // appended to changes_.
  std::optional<Fault> Read();

  MapEvents events_;
  std::vector<MapEvent> changes_;  // Read, not yet returned. The reader's.
  int spare_fd_ = -1;  // For a fork, when no other is left. The reader's.

 private:
  // `inverted`: pages of none of the categories.
  const char* Scan(const char* at, const char* end, uint64_t categories,
                   bool inverted = false);

  const OwnFd fd_;
  OwnFd pagemap_;
  std::atomic<int> pagemap_fd_{-1};
  const bool forks_;  // They are told.
};

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_UFFD_SPACE_H_

// The userfaultfd of a forked child, in its parent, which is told and answers
// what happens there.
//
// Ranges are the child's addresses, page-aligned. Errors as of AddressSpace;
// ESRCH: the child, or its memory, is gone (it ended, or called exec).
//
// For one thread.
#ifndef FARSWAP_CLIENT_PAGER_UFFD_FORKED_H_
#define FARSWAP_CLIENT_PAGER_UFFD_FORKED_H_

#include <cstddef>
#include <optional>

#include "client/pager/address_space.h"
#include "client/pager/own_fd.h"
#include "client/pager/uffd_message.h"

namespace farswap::pager {

class UffdForked {
 public:
  // Takes over the descriptor. Once it is closed, here and wherever it was
  // sent, the kernel gives the child zeros for what is absent.
  explicit UffdForked(int fd) : fd_(fd) {}
  UffdForked(const UffdForked&) = delete;
  UffdForked& operator=(const UffdForked&) = delete;

  int fd() const { return fd_.get(); }
  // Leaves it open for good: whoever faults waits, until this process ends.
  void Leak() { fd_.Leak(); }
  void Close() { fd_.Reset(); }

  std::optional<Message> Read() { return ReadMessage(fd()); }
  OpResult CopyIn(char* to, const char* from, size_t bytes);
  OpResult ZeroFill(char* at, size_t bytes);
  OpResult Poison(char* at, size_t bytes);
  OpResult Wake(char* at, size_t bytes);
  // Whether the child has the page's address registered; true if that cannot
  // be said now.
  bool IsMapped(char* page);

 private:
  OwnFd fd_;
};

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_UFFD_FORKED_H_

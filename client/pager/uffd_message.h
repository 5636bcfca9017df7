// What a userfaultfd tells.
#ifndef FARSWAP_CLIENT_PAGER_UFFD_MESSAGE_H_
#define FARSWAP_CLIENT_PAGER_UFFD_MESSAGE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "client/pager/map_events.h"

namespace farswap::pager {

// A page fault that waits to be resolved.
struct Fault {
  char* address = nullptr;  // Exact, not aligned.
  uint32_t tid = 0;         // Of the thread that waits.
  bool write = false;
  // The page is there, and write-protected.
  bool write_protected = false;
};

struct Mm;

// A fault, or a change.
struct Message {
  std::optional<Fault> fault;
  MapEvent change;
  // Whose it is, if the source has several.
  std::shared_ptr<Mm> mm;
};

// Reads a message of a userfaultfd that does not block. Nullopt: there is none
// (errno EAGAIN), or it cannot be had now. A fork's descriptor is the caller's.
std::optional<Message> ReadMessage(int uffd);

// Messages as they come, kept by who may neither allocate nor wait for a lock:
// while a thread forks it holds the allocator's, until its event is read. The
// place for them is mapped once, and costs what it is used.
class RawMessages {
 public:
  RawMessages() = default;
  ~RawMessages();
  RawMessages(const RawMessages&) = delete;
  RawMessages& operator=(const RawMessages&) = delete;

  // To be called before the rest. Dies if there is no address space.
  void Map();
  // Reads one. False: as ReadMessage's nullopt, with its errno. Dies when there
  // is no place left.
  bool Read(int uffd);
  // All of them, in their order; they are kept no more.
  std::vector<Message> TakeAll();
  size_t count() const { return count_; }
  // Whether one of them is a fork.
  bool has_fork() const { return has_fork_; }

 private:
  void* place_ = nullptr;
  size_t most_ = 0;
  size_t count_ = 0;
  bool has_fork_ = false;
};

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_UFFD_MESSAGE_H_

// A forked child's far memory, paged from its parent.
//
// The child has its parent's pages as they were at the fork. What was local is
// there, shared by the kernel until one of the two writes. What was in slots
// is given to it as it faults, by copying; each of its pages that is still to
// come counts as an owner of its slot, so that the parent frees or overwrites
// none (core/swap_space.h). Nothing of the child is ever taken out, nor counted
// against a limit.
//
//   the page, at the fork | word here    | a fault of the child gets
//   zeros, or discarded   | kNone        | zeros
//   local                 | kFolio (0)   | proof that it is there, or SIGBUS
//   in staging            | kFolio (0)   | (it was copied at once)
//   in a slot             | kSwap        | a copy, and then it is kFolio (0)
//   lost                  | kPoisoned    | SIGBUS
//   unclear (forks.h)     | kPoisoned    | SIGBUS
//   in no range           | -            | zeros: it is the program's own, what
//                         |              | mremap grew; SIGBUS, if more than
//                         |              | that may be missing here
//
// One thread does it all: it reads the child's changes of its map and its
// faults, in their order, so nothing is to be fenced. No get lasts longer than
// a moment, for the child's changes wait to be read.
//
// It ends when the child is gone: when the other end of the socket is closed,
// which the child's watcher holds (runtime/child_watch.h). If this ends first,
// or nobody can watch, what was still to come is poisoned before the descriptor
// is closed; should that fail, the child is told nothing, and its watcher ends
// it.
//
// Not thread-safe: filled until Start, Refuse instead of it; then its own
// thread. Stop and ended() are for any.
#ifndef FARSWAP_CLIENT_PAGER_FORKS_FORKED_CHILD_H_
#define FARSWAP_CLIENT_PAGER_FORKS_FORKED_CHILD_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "client/pager/forks/forked_map.h"
#include "client/pager/own_fd.h"
#include "client/pager/shared.h"
#include "client/pager/uffd_forked.h"
#include "client/pager/wait_set.h"

namespace farswap::pager {

// What a child's end of the socket is told, a byte each.
enum class ForkReply : char {
  kServed = 's',     // With its userfaultfd.
  kRefused = 'r',    // What is remote of it raises SIGBUS.
  kNothing = 'n',    // It has no far memory.
  kQuit = 'q',       // Later: as kRefused, from now on.
  kAbort = 'a',      // Later: it is to abort (FailPolicy::kAbort).
  kUnwatched = 'u',  // From the child: it cannot watch. kQuit is to follow.
};

// Says that to the other end, with a descriptor of its own; false if it cannot
// be told. -1: none.
bool Tell(int socket, ForkReply reply, int fd);

class ForkedChild {
 public:
  // Takes over the descriptor.
  ForkedChild(Shared* shared, int uffd);
  // Stops.
  ~ForkedChild();
  ForkedChild(const ForkedChild&) = delete;
  ForkedChild& operator=(const ForkedChild&) = delete;

  // What the child has of a region. Takes block locks.
  void AddPiece(const RegionTable::Piece& piece) { map_.AddPiece(piece); }
  void AddUnclear(char* start, char* end) { map_.AddUnclear(start, end); }
  void Lose(char* page) { map_.Lose(page, page + kPageBytes); }
  // All that the child has of regions was added.
  void SetComplete() { complete_ = true; }

  // Serves the child from now on; takes over the socket, by which its watcher
  // is told. False: the system has no thread left, and nothing has changed.
  bool Start(OwnFd* socket);
  // The child is not served: what it has not got is poisoned. False: it could
  // not be, or it may have more than is known here. Then it waits for it, until
  // this process ends.
  bool Refuse();

  // As Refuse, if the child lives still. Ends the thread.
  void AskToStop();
  void Stop();
  // Whether the thread is through, and nothing is held any more.
  bool ended() const { return ended_.load(std::memory_order_acquire); }

 private:
  using SteadyTime = std::chrono::steady_clock::time_point;
  struct Waiting {
    char* page;
    SteadyTime deadline;
    int losses = 0;  // How often it was said to be lost.
  };
  enum class Step {
    kDone,
    kLater,
    kGone,  // The child.
  };

  void Run();
  // Until there is something to do.
  void Wait();
  void ReadAll();
  void Apply(const MapEvent& change);
  void ServeAll();
  Step Serve(Waiting* fault);
  Step ServeZeros(const Waiting& fault);
  Step ServeSwap(ForkedMap::Range* range, Waiting* fault);
  Step Install(ForkedMap::Range* range, const ForkedMap::Part& part,
               const char* bytes);
  Step Failed(ForkedMap::Range* range, Waiting* fault,
              const ForkedMap::Part& part, const absl::Status& why);
  // How many bytes to fetch for a fault there: more each time that it goes on
  // where the last fetch ended.
  uint64_t Window(const char* page);
  // What an operation that is over says of its fault; 0: done.
  Step After(int error, char* page);
  Step Poison(char* page);

  Shared& shared_;
  UffdForked uffd_;
  ForkedMap map_;
  bool complete_ = false;
  OwnFd socket_;
  const int stop_fd_;
  std::optional<WaitSet> wait_;  // The child's, the socket and stop_fd_.
  int spare_fd_;  // For a fork of the child's, when no other is left.
  std::atomic<bool> ended_{false};
  bool gone_ = false;
  bool stopping_ = false;
  std::deque<Waiting> waiting_;  // One a thread of the child.
  // Of fetches: what is next to the last, and how much that was.
  const char* next_ = nullptr;
  uint64_t window_ = 0;
  std::unique_ptr<char[]> buffer_;  // 2 MiB, once it is needed.
  std::optional<std::thread> thread_;
};

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_FORKS_FORKED_CHILD_H_

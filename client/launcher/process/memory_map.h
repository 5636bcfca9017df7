// What of a process's map can be far memory, as /proc says.
//
// Private anonymous memory: the heap, malloc's arenas, mappings; whatever its
// protection, as that comes and goes. Not stacks, nor what holds the thread
// control block of a thread: the kernel writes there when the thread ends, when
// it cannot wait for a page any more, and who joins the thread would wait for
// ever. Where those are is told by each thread's robust list, which is a part
// of it; of one that is about to begin, by its stack, which is a new mapping
// behind one that is not accessible.
//
// Not thread-safe.
#ifndef FARSWAP_CLIENT_LAUNCHER_PROCESS_MEMORY_MAP_H_
#define FARSWAP_CLIENT_LAUNCHER_PROCESS_MEMORY_MAP_H_

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "client/pager/own_fd.h"

namespace farswap::launcher {

struct MapRange {
  uint64_t start = 0;
  uint64_t end = 0;
  bool guard = false;  // Not accessible.

  bool Holds(uint64_t at) const { return start <= at && at < end; }
  bool operator==(const MapRange&) const = default;
};

// The private anonymous ranges of a text of /proc/PID/maps, by address; those
// that touch stay apart.
std::vector<MapRange> AnonymousRanges(std::string_view maps);

class MemoryMap {
 public:
  // Smaller mappings are left alone, unless they touch others: what they hold
  // together is little, and each costs the kernel something.
  static constexpr uint64_t kLeastBytes = uint64_t{64} << 10;

  // How long a mapping is new, and how large the stack of a thread is at most.
  static constexpr std::chrono::milliseconds kNewFor{512};
  static constexpr uint64_t kMostStackBytes = uint64_t{64} << 20;

  // `thread`: any of the process. `own`: the preload library's.
  MemoryMap(pid_t thread, MapRange own);

  // In bytes, of private memory: what is resident, less what is of files and
  // shared memory. 0 if it is gone.
  uint64_t ResidentBytes() const;
  // Reads the map anew. False: the process is gone.
  bool Refresh();
  // As of the last Refresh; those that touch are one.
  const std::vector<MapRange>& far() const { return far_; }
  // Ranges that hold a thread's control block, or did.
  const std::vector<MapRange>& threads() const { return threads_; }
  // What is not to be taken out: those, and where one may be about to be.
  const std::vector<MapRange>& spared() const { return spared_; }

 private:
  using Time = std::chrono::steady_clock::time_point;

  bool ReadAll(std::string* text);
  // Notes where control blocks are now.
  void FindThreads();
  // Of those that a stack of a thread may be in: the new ones are spared.
  void SpareNew(const std::vector<MapRange>& stacks);

  const pid_t thread_;
  const MapRange own_;
  pager::OwnFd maps_;
  pager::OwnFd statm_;
  // Addresses of control blocks, of all threads ever while their mapping is
  // there: a stack is used again by the next thread.
  std::vector<uint64_t> blocks_;
  std::vector<MapRange> far_;
  std::vector<MapRange> threads_;
  std::vector<MapRange> spared_;
  // By their ends, which stay when they become accessible: since when.
  std::vector<std::pair<uint64_t, Time>> stacks_;
  std::string text_;
};

}  // namespace farswap::launcher

#endif  // FARSWAP_CLIENT_LAUNCHER_PROCESS_MEMORY_MAP_H_

// Reading ahead of streams: while the program works on one block, the next
// ones are on their way.
//
// A fault on a stream asks for the blocks after it (or before it, if that is
// where the stream goes); two threads read them, in order, each like a fault
// that nobody waits for: while one block is verified and moved in, the next is
// on the wire. A program that is faster than the wire meets
// the block being read, waits for it as for anybody's read, and by that asks
// for more: so the wire is never idle. One that is slower finds its blocks
// mapped. Nothing is taken out to make room for a block that nobody asked
// for: without room the stream goes on by faults.
//
// Thread-safe.
#ifndef FARSWAP_CLIENT_PAGER_READ_AHEAD_H_
#define FARSWAP_CLIENT_PAGER_READ_AHEAD_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "client/pager/region.h"
#include "common/mutex.h"

namespace farswap::pager {

class ReadAhead {
 public:
  enum class Step {
    kDone,    // Read, or there already: the next one.
    kNoRoom,  // Of memory: the stream is given up.
  };
  // Reads one block of the region in; called on threads of this class.
  using Read = std::function<Step(Region* region, uint64_t block)>;

  // Blocks ahead of a fault. 8 MiB are 4 ms of the wire at 2 GB/s: enough to
  // cover the program's work between two faults.
  static constexpr uint64_t kBlocks = 4;

  explicit ReadAhead(Read read);
  ~ReadAhead();
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;

  // RESOURCE_EXHAUSTED if the system has no threads for it.
  absl::Status Start();
  // Ends the threads once the blocks under way are read.
  void Stop();

  // Asks for the blocks after `block`, in the direction (+1, -1). Never
  // waits; asked for too much, the oldest stream is forgotten.
  void Ask(const std::shared_ptr<Region>& region, uint64_t block,
           int direction);

  // Whether that thread is one of these.
  bool IsOwn(int tid) const;

 private:
  static constexpr size_t kThreads = 2;
  // As many as FaultSize tells apart.
  static constexpr size_t kStreams = 8;

  struct Stream {
    std::shared_ptr<Region> region;
    uint64_t next = 0;  // The block to be read next.
    uint64_t left = 0;  // How many, from that one on.
    int direction = 1;
  };

  void Run(size_t index);
  bool Take(Stream* step) ABSL_LOCKS_EXCLUDED(mu_);
  void GiveUp(const Stream& step) ABSL_LOCKS_EXCLUDED(mu_);

  const Read read_;
  std::array<std::atomic<int>, kThreads> tids_{};

  Mutex mu_;
  CondVar asked_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::deque<Stream> streams_ ABSL_GUARDED_BY(mu_);
  std::vector<std::thread> threads_;
};

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_READ_AHEAD_H_

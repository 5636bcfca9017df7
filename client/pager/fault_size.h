// How much a fault in a block that went out whole should bring back.
//
// A 2 MiB folio costs one RPC and one move, but pushes out 2 MiB of something
// else. It pays when the neighbours are used: so when the fault goes on a
// stream (the block after, or before, one that a stream was at), or while a
// region's faults have lately done so. Random faults spend the region's
// credit, and get 64 KiB parts until streams earn it back.
//
// A stream that went on from block to block is worth reading ahead of; then
// its next fault may be some blocks on, as those in between were there.
//
// Thread-safe: racing faults may misjudge a stream, which costs time, never
// bytes.
#ifndef FARSWAP_CLIENT_PAGER_FAULT_SIZE_H_
#define FARSWAP_CLIENT_PAGER_FAULT_SIZE_H_

#include <array>
#include <cstdint>

#include "common/mutex.h"

namespace farswap::pager {

class FaultSize {
 public:
  struct Advice {
    bool whole = false;  // Bring the block whole.
    int ahead = 0;       // Where the stream goes, +1 or -1; 0: it is none.
    // If the block cannot come whole: on which side of the fault its parts are
    // wanted, too; 0: on neither.
    int along = 0;
  };

  // On a fault at `part` (a 64 KiB index in the region).
  Advice Advise(uint64_t part);

  // How far, in blocks, the next fault of a stream that is read ahead of may
  // be: one more than is read.
  static constexpr int64_t kAheadBlocks = 5;
  // How many parts of a block that is in pieces come at a time.
  static constexpr int64_t kPartsAlong = 8;

 private:
  // Enough for a few threads that each walk a range, or for a merge.
  static constexpr int kStreams = 8;
  // A region starts with the benefit of the doubt: about ten random faults.
  static constexpr int kStartCredit = 16;
  static constexpr int kMaxCredit = 32;
  static constexpr int kEarn = 2;   // For a fault on a stream.
  static constexpr int kSpend = 1;  // For one that is on none.
  // Below this the region is random.
  static constexpr int kWhole = 6;

  struct Stream {
    uint64_t part = ~uint64_t{0} >> 1;  // Far from every part.
    uint64_t used = 0;
    int direction = 0;
    int steps = 0;  // From block to block, in that direction.
    int along = 0;  // Where the last step went.
  };

  // A stream is read ahead of from this many steps on.
  static constexpr int kSteady = 2;

  static bool Continues(const Stream& stream, uint64_t part);
  static void Advance(Stream* stream, uint64_t part);

  Mutex mu_;
  std::array<Stream, kStreams> streams_ ABSL_GUARDED_BY(mu_);
  uint64_t clock_ ABSL_GUARDED_BY(mu_) = 0;
  int credit_ ABSL_GUARDED_BY(mu_) = kStartCredit;
};

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_FAULT_SIZE_H_

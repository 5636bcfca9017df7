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
// Of a block that is in pieces a stream gets a window of parts at a time, sized
// by the kernel's formula (core/readahead.h). A hit is what came ahead of a
// stream and was gone past by its next fault: what is mapped is used unseen,
// so more cannot be known.
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
    // wanted, too, 0: on neither; and how many, with the fault's own.
    int along = 0;
    uint32_t parts = 1;
    // Of what came ahead (CameAhead), what this fault has gone past.
    uint32_t hits = 0;
  };

  // On a fault at `part` (a 64 KiB index in the region).
  Advice Advise(uint64_t part);
  // A folio at that part came ahead of the stream that it is in the way of.
  void CameAhead(uint64_t part);

  // How far, in blocks, the next fault of a stream that is read ahead of may
  // be: one more than is read.
  static constexpr int64_t kAheadBlocks = 5;
  // How many parts of a block that is in pieces come at a time, at most.
  static constexpr uint32_t kPartsAlong = 8;

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
    int steps = 0;        // From block to block, in that direction.
    int along = 0;        // Where the last step went.
    uint32_t window = 0;  // Parts; the last one.
    uint32_t ahead = 0;   // Folios that came, and were not gone past.
  };

  // A stream is read ahead of from this many steps on.
  static constexpr int kSteady = 2;

  static bool Continues(const Stream& stream, uint64_t part);
  static bool LiesAhead(const Stream& stream, uint64_t part);
  // Returns the hits.
  static uint32_t Advance(Stream* stream, uint64_t part);

  Mutex mu_;
  std::array<Stream, kStreams> streams_ ABSL_GUARDED_BY(mu_);
  uint64_t clock_ ABSL_GUARDED_BY(mu_) = 0;
  int credit_ ABSL_GUARDED_BY(mu_) = kStartCredit;
};

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_FAULT_SIZE_H_

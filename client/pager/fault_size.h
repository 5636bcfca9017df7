// How much a fault in a block that went out whole should bring back.
//
// A 2 MiB folio costs one RPC and one move, but pushes out 2 MiB of something
// else. It pays when the neighbours are used: so when the fault goes on a
// stream (the block after, or before, one that a stream was at), or while a
// region's faults have lately done so. Random faults spend the region's
// credit, and get 64 KiB parts until streams earn it back.
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
  // A fault at `part` (a 64 KiB index in the region). True: bring the block
  // whole.
  bool WantsWholeBlock(uint64_t part);

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
  };

  Mutex mu_;
  std::array<Stream, kStreams> streams_ ABSL_GUARDED_BY(mu_);
  uint64_t clock_ ABSL_GUARDED_BY(mu_) = 0;
  int credit_ ABSL_GUARDED_BY(mu_) = kStartCredit;
};

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_FAULT_SIZE_H_

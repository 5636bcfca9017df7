// Ranges of addresses that were discarded, until each is looked at some time
// later: the latest as they are, and what is too many of them as the 2 MiB
// blocks that they are in. None is forgotten: pages that nobody looks at would
// be local for ever, and not charged.
//
// Not thread-safe.
#ifndef FARSWAP_CLIENT_PAGER_LEFTOVERS_H_
#define FARSWAP_CLIENT_PAGER_LEFTOVERS_H_

#include <chrono>
#include <cstddef>
#include <deque>
#include <map>
#include <vector>

#include "client/pager/vacated.h"

namespace farswap::pager {

class Leftovers {
 public:
  using SteadyTime = std::chrono::steady_clock::time_point;

  // So many are kept as they are, as each look at one goes through them all.
  static constexpr size_t kMaxRecent = 4096;

  // `due` is no sooner than that of any before.
  void Add(char* start, char* end, SteadyTime due);
  // Takes out a range of which all is due. False: there is none. Blocks are
  // due with the latest of what is in them, so they may wait for as long as
  // more than kMaxRecent are added in the time that a range waits.
  bool PopDue(SteadyTime now, AddressRange* range);
  // Those that overlap the range.
  std::vector<AddressRange> In(const char* start, const char* end) const;

 private:
  struct Recent {
    AddressRange range;
    SteadyTime due;
  };

  void AddBlocksOf(const AddressRange& range);

  std::deque<Recent> recent_;  // As they were added.
  // Start and end, whole blocks; at most one a block, and none touch.
  std::map<char*, char*> blocks_;
  SteadyTime blocks_due_;
};

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_LEFTOVERS_H_

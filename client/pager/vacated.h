// Where mremaps moved pages away from: each page's unmapping is still to be
// told, once a move, after the move itself, and by then others may live there.
//
// A count a page: which of the unmappings is told first does not matter. Kept
// as runs of pages of the same count.
//
// Not thread-safe.
#ifndef FARSWAP_CLIENT_PAGER_VACATED_H_
#define FARSWAP_CLIENT_PAGER_VACATED_H_

#include <map>
#include <utility>
#include <vector>

namespace farswap::pager {

// Start and end.
using AddressRange = std::pair<char*, char*>;

class Vacated {
 public:
  // One more unmapping is to come.
  void Add(char* start, char* end);
  // At least one is to come: what is moved away may be what a move left
  // (MREMAP_DONTUNMAP), which is unmapped but once.
  void AddLeft(char* start, char* end);
  // An unmapping was told: one less where there are any; returns where there
  // are none.
  std::vector<AddressRange> Take(char* start, char* end);

  // Where in the range none is to come.
  std::vector<AddressRange> Settled(char* start, char* end) const;

  bool empty() const { return runs_.empty(); }

 private:
  struct Run {
    char* end;
    int count;
  };

  // A run that reaches across `at` becomes two.
  void Cut(char* at);
  // Calls `run(count)` for each run in the range, gaps (0) too, and sets what
  // it returns.
  template <typename Change>
  void ForEach(char* start, char* end, Change change);

  std::map<char*, Run> runs_;  // By start; none overlap, none has count 0.
};

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_VACATED_H_

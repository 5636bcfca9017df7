// The processes that may share pages since a fork, looked at together: a page
// that several of them have is one page of the machine's, and is to be counted
// in one of them, as a folio.
//
// Where frames are not told (Residents) two pages of one address are taken for
// the same: after some generations of forks one of them may be counted by
// nobody, or one that was moved (mremap) by two.
//
// For one thread: a look at a moment.
#ifndef FARSWAP_CLIENT_PAGER_TREE_SHARERS_H_
#define FARSWAP_CLIENT_PAGER_TREE_SHARERS_H_

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "client/pager/shared.h"
#include "client/pager/tree/process_mm.h"

namespace farswap::pager {

class Sharers {
 public:
  // Of these processes, those that were forked, or have. Takes block locks, one
  // at a time; reads the page map of each once.
  Sharers(Shared* shared, const std::vector<std::shared_ptr<ProcessMm>>& all);

  const std::vector<std::shared_ptr<ProcessMm>>& mms() const { return mms_; }
  // How many of their pages may be copied without a word.
  uint64_t open() const { return open_; }

  // Makes folios of what the process has and none of them counts. Returns how
  // many such pages were left for later. If there are none, and it was seen to
  // share nothing, it does not until it forks.
  uint64_t Adopt(ProcessMm* mm);

 private:
  // Whether it shares any of it.
  bool Look(ProcessMm* mm, const RegionTable::Piece& piece);
  // Of a part of a block, the shared pages that are folios.
  void NoteFolios(const ProcessMm* mm, const RegionTable::Piece& part);

  Shared& shared_;
  std::vector<std::shared_ptr<ProcessMm>> mms_;
  uint64_t open_ = 0;
  // Who counts a page, by its name.
  std::unordered_map<uint64_t, const ProcessMm*> counted_;
};

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_TREE_SHARERS_H_

// The processes that may share pages since a fork: who counts a page.
//
// A page that several of them have is one page of the machine's, and counted in
// one of them: as a folio, by its address, which forks leave as it is. (Where
// one has moved it since, it is counted twice, until it is taken out.)
//
// Thread-safe.
#ifndef FARSWAP_CLIENT_PAGER_TREE_SHARERS_H_
#define FARSWAP_CLIENT_PAGER_TREE_SHARERS_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "client/pager/shared.h"
#include "client/pager/tree/process_mm.h"
#include "common/mutex.h"

namespace farswap::pager {

class Sharers {
 public:
  // Of these processes, those that were forked, or have.
  Sharers(Shared* shared, const std::vector<std::shared_ptr<ProcessMm>>& all);

  // Those whose pages can be taken out first.
  const std::vector<std::shared_ptr<ProcessMm>>& mms() const { return mms_; }

  // Which pages of the process's run, in one block, are folios of another one,
  // which it does not have to itself. REQUIRES: the block's lock, `held`.
  PageSet CountedLocked(const ProcessMm& mm, const RegionTable::Piece& run,
                        Mutex* held) const;
  // How many of their pages may be copied without a word.
  uint64_t CountOpen() const;

 private:
  Shared& shared_;
  std::vector<std::shared_ptr<ProcessMm>> mms_;
};

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_TREE_SHARERS_H_

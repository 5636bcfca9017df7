#include "client/core/table_keeper.h"

#include <algorithm>

namespace farswap::core {

void TableKeeper::FreeTable(ClusterInfo& cluster, ClusterIndex index) {
  const size_t freed =
      cluster.FreeTable([&] { return readers_.IsRead(index); });
  AddBytes(-static_cast<ptrdiff_t>(freed));
  if (!cluster.has_table()) return;
  MutexLock lock(&mu_);
  // It may be there already, if it was used again and emptied again.
  if (std::find(late_.begin(), late_.end(), index) != late_.end()) return;
  late_.push_back(index);
  late_count_.store(late_.size(), std::memory_order_relaxed);
}

void TableKeeper::FreeLateTables() {
  std::vector<ClusterIndex> late;
  {
    MutexLock lock(&mu_);
    late.swap(late_);
    late_count_.store(0, std::memory_order_relaxed);
  }
  for (const ClusterIndex index : late) {
    ClusterInfo& cluster = lists_->At(index);
    MutexLock lock(&cluster.mu);
    if (cluster.used() == 0) FreeTable(cluster, index);
  }
}

bool TableKeeper::IsLate(ClusterIndex index) const {
  MutexLock lock(&mu_);
  return std::find(late_.begin(), late_.end(), index) != late_.end();
}

}  // namespace farswap::core

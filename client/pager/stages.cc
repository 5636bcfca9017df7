#include "client/pager/stages.h"

namespace farswap::pager {
namespace {

StageStats::ByOrder SnapshotOf(const StagesByOrder& stages) {
  StageStats::ByOrder to;
  for (int order = 0; order < kOrders; ++order) {
    to[order] = stages[order].Snapshot();
  }
  return to;
}

}  // namespace

StageStats SnapshotOf(const Stages& stages) {
  StageStats stats;
  stats.queue = stages.queue.Snapshot();
  stats.rpc = SnapshotOf(stages.rpc);
  stats.verify = SnapshotOf(stages.verify);
  stats.install = SnapshotOf(stages.install);
  stats.total = stages.total.Snapshot();
  return stats;
}

}  // namespace farswap::pager

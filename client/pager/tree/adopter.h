// Finds what has become a process's own since it was made far: what it shared
// with its parent, a child, or before it was paged for.
//
// Of that the kernel tells nothing, so all page maps are compared with the
// kernel's from time to time, in a thread that takes a part of a processor
// only, however large the processes are. Those that share pages since a fork
// are looked at together: what of these none of them counts, one does then.
//
// Thread-safe.
#ifndef FARSWAP_CLIENT_PAGER_TREE_ADOPTER_H_
#define FARSWAP_CLIENT_PAGER_TREE_ADOPTER_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <thread>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "client/pager/shared.h"
#include "client/pager/tree/fork_shares.h"
#include "client/pager/tree/process_mm.h"
#include "client/pager/tree/tree_source.h"
#include "common/mutex.h"

namespace farswap::pager {

class Adopter {
 public:
  Adopter(Shared* shared, const TreeSource* source, ForkShares* shares)
      : shared_(*shared), source_(*source), shares_(*shares) {}
  ~Adopter() { Stop(); }
  Adopter(const Adopter&) = delete;
  Adopter& operator=(const Adopter&) = delete;

  // ResourceExhausted: there is no thread left.
  absl::Status Start();
  void Stop();

 private:
  using Time = std::chrono::steady_clock::time_point;

  void Run();
  // Those that are due; when the next one is.
  Time Pass();
  void LookAtSharers(const std::vector<std::shared_ptr<ProcessMm>>& all);
  // Forgets those that are gone.
  void LookAtOthers(const std::vector<std::shared_ptr<ProcessMm>>& all);

  Shared& shared_;
  const TreeSource& source_;
  ForkShares& shares_;
  // The thread's: when those that share are next, and the others, by their ids.
  Time sharers_due_;
  std::unordered_map<uint64_t, Time> due_;
  Mutex mu_;
  CondVar stop_asked_;
  bool stop_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_TREE_ADOPTER_H_

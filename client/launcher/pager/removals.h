// Ends the paging for processes that have gone, in a thread of its own: what a
// large one had takes time to free, in which others grow.
//
// Thread-safe.
#ifndef FARSWAP_CLIENT_LAUNCHER_PAGER_REMOVALS_H_
#define FARSWAP_CLIENT_LAUNCHER_PAGER_REMOVALS_H_

#include <deque>
#include <memory>
#include <thread>

#include "absl/status/status.h"
#include "client/launcher/pager/process.h"
#include "client/pager/tree/tree_pager.h"
#include "common/mutex.h"

namespace farswap::launcher {

class Removals {
 public:
  explicit Removals(pager::TreePager* pager) : pager_(*pager) {}
  // When all are done.
  ~Removals();
  Removals(const Removals&) = delete;
  Removals& operator=(const Removals&) = delete;

  // ResourceExhausted: no thread is left. Then Add does it at once.
  absl::Status Start();
  // A process whose mover has gone. It is kept until nobody asks that any more.
  void Add(std::unique_ptr<Process> process);
  // One that has not reported in.
  void Add(std::shared_ptr<pager::ProcessMm> mm);

 private:
  struct Gone {
    std::unique_ptr<Process> process;  // Or null.
    std::shared_ptr<pager::ProcessMm> mm;
  };

  void Queue(Gone gone);
  void End(const Gone& gone);
  void Run();

  pager::TreePager& pager_;
  Mutex mu_;
  CondVar work_;
  std::deque<Gone> queue_ ABSL_GUARDED_BY(mu_);
  bool stop_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace farswap::launcher

#endif  // FARSWAP_CLIENT_LAUNCHER_PAGER_REMOVALS_H_

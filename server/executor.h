// A few threads for calls that may wait for a disk, and a bounded queue.
//
// Thread-safe, but for Stop.
#ifndef FARSWAP_SERVER_EXECUTOR_H_
#define FARSWAP_SERVER_EXECUTOR_H_

#include <cstddef>
#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "common/mutex.h"

namespace farswap::server {

class Executor {
 public:
  Executor(int threads, size_t max_queued);
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;
  ~Executor() { Stop(); }

  // Called once: with true by a thread of the executor, or with false, by
  // whoever abandons it, if it is not to be done any more.
  using Work = std::function<void(bool run)>;

  // False if the queue is full: the work is not called.
  bool Submit(Work work);

  // For tests: what waits for its turn.
  size_t queued() const;

  // Abandons what is queued, and all that comes.
  void Abandon();

  // Then waits for what is being done, one piece a thread.
  void Stop();

 private:
  void Run();

  const size_t max_queued_;
  mutable Mutex mu_;
  CondVar changed_;
  std::deque<Work> queue_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace farswap::server

#endif  // FARSWAP_SERVER_EXECUTOR_H_

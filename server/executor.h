// A few threads for calls that may wait for a disk, and a bounded queue.
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

  // False if the queue is full, or after Stop: the work is not done.
  bool Submit(std::function<void()> work);

  // Returns when all the work that was submitted is done.
  void Stop();

 private:
  void Run();

  const size_t max_queued_;
  Mutex mu_;
  CondVar changed_;
  std::deque<std::function<void()>> queue_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace farswap::server

#endif  // FARSWAP_SERVER_EXECUTOR_H_

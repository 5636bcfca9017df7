#include "server/executor.h"

#include <utility>

namespace farswap::server {

Executor::Executor(int threads, size_t max_queued) : max_queued_(max_queued) {
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Run(); });
}

bool Executor::Submit(Work work) {
  {
    MutexLock lock(&mu_);
    if (!stopping_) {
      if (queue_.size() >= max_queued_) return false;
      queue_.push_back(std::move(work));
      changed_.Signal();
      return true;
    }
  }
  work(false);
  return true;
}

size_t Executor::queued() const {
  MutexLock lock(&mu_);
  return queue_.size();
}

void Executor::Abandon() {
  std::deque<Work> abandoned;
  {
    MutexLock lock(&mu_);
    stopping_ = true;
    abandoned.swap(queue_);
    changed_.SignalAll();
  }
  for (const Work& work : abandoned) work(false);
}

void Executor::Stop() {
  Abandon();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void Executor::Run() {
  for (;;) {
    Work work;
    {
      MutexLock lock(&mu_);
      while (queue_.empty() && !stopping_) changed_.Wait(&mu_);
      if (queue_.empty()) return;
      work = std::move(queue_.front());
      queue_.pop_front();
    }
    work(true);
  }
}

}  // namespace farswap::server

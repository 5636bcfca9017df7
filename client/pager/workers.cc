#include "client/pager/workers.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "client/pager/thread.h"

namespace farswap::pager {

Workers::Workers(Uffd* uffd, Serve serve)
    : uffd_(uffd),
      serve_(std::move(serve)),
      stop_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

Workers::~Workers() {
  Stop();
  close(stop_fd_);
}

absl::Status Workers::Start() {
  for (size_t i = 0; i < kStartWorkers; ++i) {
    if (AddWorker()) continue;
    return absl::ResourceExhaustedError(
        "the system has no thread left for the pager: see ulimit -u and the "
        "cgroup's pids.max");
  }
  return absl::OkStatus();
}

void Workers::Stop() {
  eventfd_write(stop_fd_, 1);
  std::vector<std::thread> threads;
  {
    MutexLock lock(&mu_);
    stopping_ = true;
    threads.swap(threads_);
  }
  for (std::thread& thread : threads) thread.join();
}

bool Workers::IsWorker(uint32_t tid) const {
  const auto end = tids_.begin() + started_.load(std::memory_order_acquire);
  return std::any_of(tids_.begin(), end, [&](const auto& t) {
    return t.load(std::memory_order_relaxed) == tid;
  });
}

bool Workers::AddWorker() {
  MutexLock lock(&mu_);
  if (stopping_ || threads_.size() >= kMaxWorkers) return false;
  const size_t index = threads_.size();
  free_.fetch_add(1, std::memory_order_relaxed);
  started_.store(index + 1, std::memory_order_release);
  std::optional<std::thread> thread =
      StartThread("farswap-fault", [this, index] { Run(index); });
  if (!thread) {
    free_.fetch_sub(1, std::memory_order_relaxed);
    return false;
  }
  threads_.push_back(std::move(*thread));
  return true;
}

void Workers::Run(size_t index) {
  tids_[index].store(static_cast<uint32_t>(gettid()),
                     std::memory_order_relaxed);
  for (;;) {
    std::optional<Fault> fault;
    {
      MutexLock lock(&read_mu_);
      fault = uffd_->Next(stop_fd_);
    }
    if (!fault) return;
    const SteadyTime read_at = std::chrono::steady_clock::now();
    if (free_.fetch_sub(1, std::memory_order_relaxed) == 1) AddWorker();
    serve_(*fault, read_at);
    free_.fetch_add(1, std::memory_order_relaxed);
  }
}

}  // namespace farswap::pager

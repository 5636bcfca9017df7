// The threads that read faults and serve them, leader-follower.
//
// One thread at a time reads; having read a fault it hands the reading on and
// serves the fault itself. When the last free thread goes off to serve, a
// further one is started, up to a bound: while servers are slow every fault is
// still read, and its deadline runs. Past the bound, or when the system has no
// thread left, faults are read, and their deadlines begin, as workers are
// done.
//
// Thread-safe.
#ifndef FARSWAP_CLIENT_PAGER_WORKERS_H_
#define FARSWAP_CLIENT_PAGER_WORKERS_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "client/pager/staging.h"
#include "client/pager/uffd.h"
#include "common/mutex.h"

namespace farswap::pager {

class Workers {
 public:
  using Serve = std::function<void(const Fault&, SteadyTime read_at)>;

  Workers(Uffd* uffd, Serve serve);
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  // RESOURCE_EXHAUSTED if the system has no thread for it.
  absl::Status Start();
  // Ends the threads once each has served the fault it has.
  void Stop();

  // Whether that thread is one of these.
  bool IsWorker(uint32_t tid) const;

 private:
  // How many threads of the program can wait for servers at a time, each for
  // another folio, before others queue behind them. A worker that waits costs
  // its stack, some 100 KiB with its buffer, and exists only once needed.
  static constexpr size_t kMaxWorkers = 512;
  // Two processors fault at once, and each fault's worker is mostly waiting.
  static constexpr size_t kStartWorkers = 4;

  bool AddWorker();
  void Run(size_t index);

  Uffd* const uffd_;
  const Serve serve_;
  const int stop_fd_;

  Mutex read_mu_;  // Held by the reader, while it waits for a fault.
  std::atomic<int> free_{0};
  std::array<std::atomic<uint32_t>, kMaxWorkers> tids_{};
  std::atomic<size_t> started_{0};  // Of tids_.

  Mutex mu_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<std::thread> threads_ ABSL_GUARDED_BY(mu_);
};

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_WORKERS_H_

// The ranges that a program asked to be brought in, and the thread that does:
// one folio after another, each when no fault is being served. What there is
// no room for, in memory or in the queue, is dropped.
//
// Thread-safe.
#ifndef FARSWAP_CLIENT_PAGER_PREFETCHER_H_
#define FARSWAP_CLIENT_PAGER_PREFETCHER_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <thread>

#include "absl/status/status.h"
#include "client/pager/read_ahead.h"
#include "client/pager/shared.h"
#include "common/mutex.h"

namespace farswap::pager {

class Prefetcher {
 public:
  // Reads what is out at a page; see FaultPath::Prefetch.
  using Read = std::function<ReadAhead::Step(Region* region, uint64_t page,
                                             uint64_t end, uint64_t* next)>;

  Prefetcher(Shared* shared, Read read)
      : shared_(*shared), read_(std::move(read)) {}
  ~Prefetcher() { Stop(); }
  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;

  // RESOURCE_EXHAUSTED if the system has no thread for it.
  absl::Status Start();
  void Stop();

  // Asks for the pages [first, end). Never waits.
  void Ask(std::shared_ptr<Region> region, uint64_t first, uint64_t end);

  int tid() const { return tid_.load(std::memory_order_acquire); }

 private:
  // Ranges that wait. A program that asks for more than this at a time does
  // not know what comes next either.
  static constexpr size_t kMaxRanges = 64;

  struct Range {
    std::shared_ptr<Region> region;
    uint64_t next = 0;
    uint64_t end = 0;
  };

  void Run();
  bool Take(Range* range) ABSL_LOCKS_EXCLUDED(mu_);
  void Bring(Range range);
  // Waits while faults are being served. False: stopped, or for too long.
  bool StepAside() const;

  Shared& shared_;
  const Read read_;
  std::atomic<int> tid_{0};
  std::atomic<bool> stopping_{false};

  Mutex mu_;
  CondVar asked_;
  std::deque<Range> ranges_ ABSL_GUARDED_BY(mu_);
  std::thread thread_;
};

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_PREFETCHER_H_

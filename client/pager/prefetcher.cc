#include "client/pager/prefetcher.h"

#include <unistd.h>

#include <chrono>
#include <optional>
#include <utility>

#include "client/pager/thread.h"

namespace farswap::pager {
namespace {

// How often it looks whether faults are being served still: about as long as
// one of them takes. And for how long, until the range is no news any more.
constexpr std::chrono::microseconds kLook{200};
constexpr std::chrono::seconds kPatience{5};

}  // namespace

absl::Status Prefetcher::Start() {
  std::optional<std::thread> thread =
      StartThread("farswap-prefetc", [this] { Run(); });
  if (!thread) {
    return absl::ResourceExhaustedError(
        "the system has no thread left for prefetching: see ulimit -u and the "
        "cgroup's pids.max");
  }
  thread_ = std::move(*thread);
  return absl::OkStatus();
}

void Prefetcher::Stop() {
  stopping_.store(true, std::memory_order_release);
  {
    MutexLock lock(&mu_);
    ranges_.clear();
    asked_.SignalAll();
  }
  if (thread_.joinable()) thread_.join();
}

void Prefetcher::Ask(std::shared_ptr<Region> region, uint64_t first,
                     uint64_t end) {
  MutexLock lock(&mu_);
  if (ranges_.size() >= kMaxRanges || stopping_.load()) {
    shared_.counters.prefetch_dropped.Add(end - first);
    return;
  }
  ranges_.push_back({std::move(region), first, end});
  asked_.Signal();
}

void Prefetcher::Run() {
  tid_.store(gettid(), std::memory_order_release);
  Range range;
  while (Take(&range)) Bring(std::move(range));
}

bool Prefetcher::Take(Range* range) {
  MutexLock lock(&mu_);
  while (ranges_.empty() && !stopping_.load()) asked_.Wait(&mu_);
  if (stopping_.load()) return false;
  *range = std::move(ranges_.front());
  ranges_.pop_front();
  return true;
}

void Prefetcher::Bring(Range range) {
  bool room = true;
  while (range.next < range.end && room) {
    room = StepAside();
    if (!room) break;
    uint64_t next = range.end;
    room = read_(range.region.get(), range.next, range.end, &next) ==
           ReadAhead::Step::kDone;
    if (room) range.next = next;
  }
  if (range.next < range.end) {
    shared_.counters.prefetch_dropped.Add(range.end - range.next);
  }
}

bool Prefetcher::StepAside() const {
  const SteadyTime until = std::chrono::steady_clock::now() + kPatience;
  while (!stopping_.load(std::memory_order_acquire)) {
    if (shared_.demand.load(std::memory_order_relaxed) == 0) return true;
    if (std::chrono::steady_clock::now() >= until) return false;
    std::this_thread::sleep_for(kLook);
  }
  return false;
}

}  // namespace farswap::pager

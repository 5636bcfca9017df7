#include "client/pager/tree/adopter.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "client/pager/thread.h"

namespace farswap::pager {
namespace {

using std::chrono::milliseconds;

// How long a process is left alone, at least, and how many times as long as it
// has taken. One that has forked gets its copies page by page, and what it was
// promised for them is not to be taken out until they are found.
struct Pause {
  milliseconds least;
  int times;
};
constexpr Pause kForked{milliseconds(8), 4};
constexpr Pause kOther{milliseconds(128), 50};
// New ones are found so soon.
constexpr milliseconds kLongestTurn{32};
// However many they are: how many times as long as a pass nothing is done.
constexpr int kRest = 3;

std::chrono::steady_clock::time_point Now() {
  return std::chrono::steady_clock::now();
}

}  // namespace

absl::Status Adopter::Start() {
  std::optional<std::thread> thread =
      StartThread("farswap-adopt", [this] { Run(); });
  if (!thread) {
    return absl::ResourceExhaustedError(
        "the system has no thread left; see ulimit -u");
  }
  thread_ = *std::move(thread);
  return absl::OkStatus();
}

void Adopter::Stop() {
  {
    MutexLock lock(&mu_);
    stop_ = true;
  }
  stop_asked_.Signal();
  if (thread_.joinable()) thread_.join();
}

void Adopter::Run() {
  // What it does nobody waits for.
  (void)setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), 0);
  Time next = Now();
  for (;;) {
    {
      MutexLock lock(&mu_);
      while (!stop_ && stop_asked_.WaitUntil(&mu_, next)) {
      }
      if (stop_) return;
    }
    const Time start = Now();
    Pass();
    const Time end = Now();
    next = end + kLongestTurn;
    for (const auto& [id, due] : due_) next = std::min(next, due);
    next = std::max<Time>(next, end + kRest * (end - start));
  }
}

void Adopter::Pass() {
  std::unordered_map<uint64_t, Time> next;
  for (const auto& mm : source_.All()) {
    const auto it = due_.find(mm->id());
    const Time start = Now();
    if (it != due_.end() && start < it->second) {
      next.insert(*it);
      continue;
    }
    mm->Adopt();
    const Pause& pause = mm->uffd().forked() ? kForked : kOther;
    const Time end = Now();
    next[mm->id()] = end + std::max<Time::duration>(
                               pause.least, pause.times * (end - start));
  }
  due_ = std::move(next);
}

}  // namespace farswap::pager

#include "client/pager/tree/adopter.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "client/pager/thread.h"
#include "client/pager/tree/sharers.h"

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

SteadyTime Now() { return std::chrono::steady_clock::now(); }

// When what was begun then is to be done again.
SteadyTime AfterPause(const Pause& pause, SteadyTime start) {
  const SteadyTime end = Now();
  return end + std::max<SteadyTime::duration>(pause.least,
                                              pause.times * (end - start));
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
    const Time due = Pass();
    const Time end = Now();
    next = std::max<Time>(std::min<Time>(due, end + kLongestTurn),
                          end + kRest * (end - start));
  }
}

Adopter::Time Adopter::Pass() {
  const auto all = source_.All();
  if (Now() >= sharers_due_) LookAtSharers(all);
  LookAtOthers(all);
  Time next = sharers_due_;
  for (const auto& [id, due] : due_) next = std::min(next, due);
  return next;
}

void Adopter::LookAtSharers(
    const std::vector<std::shared_ptr<ProcessMm>>& all) {
  const Time start = Now();
  const uint64_t promised = shares_.BeginLook(all);
  Sharers sharers(&shared_, all);
  uint64_t open_or_left = sharers.open();
  for (const auto& mm : sharers.mms()) open_or_left += sharers.Adopt(mm.get());
  shares_.EndLook(promised, open_or_left);
  // Copies of what is shared are promised before they are made.
  const bool quiet = shared_.promises.count() == 0;
  sharers_due_ = AfterPause(quiet ? kOther : kForked, start);
}

void Adopter::LookAtOthers(const std::vector<std::shared_ptr<ProcessMm>>& all) {
  std::unordered_map<uint64_t, Time> next;
  for (const auto& mm : all) {
    if (mm->uffd().forked()) continue;
    const auto it = due_.find(mm->id());
    const Time start = Now();
    if (it != due_.end() && start < it->second) {
      next.insert(*it);
      continue;
    }
    (void)mm->Adopt();
    if (mm->TakeShares()) shares_.Protect(mm.get());
    next[mm->id()] = AfterPause(kOther, start);
  }
  due_ = std::move(next);
}

}  // namespace farswap::pager

// How much memory the processes of the tree have, and what follows of it.
#include <algorithm>

#include "client/launcher/pager/supervisor.h"
#include "client/launcher/run/memory.h"
#include "common/log_raw.h"
#include "common/units.h"

namespace farswap::launcher {
namespace {

using std::chrono::milliseconds;

constexpr uint64_t kMiB = uint64_t{1} << 20;
// How fast a tree may grow, at most, on two processors: first touches of 2 MiB
// pages.
constexpr uint64_t kBytesPerMs = uint64_t{4} << 20;
constexpr milliseconds kLongestTick{50};
constexpr milliseconds kShortestTick{2};
// What those have that go on while all the rest is a stopped process's.
constexpr uint64_t kBesideStopped = 12 * kMiB;
// From so much over the limit on those that grow wait; at a quarter of it they
// go on.
constexpr uint64_t kBrakeBytes = 4 * kMiB;
// If nothing can be taken out for so long, the limit is not held.
constexpr std::chrono::seconds kLongestBrake{60};
// The limit of what is far is changed in steps.
constexpr uint64_t kLimitStep = kMiB;

std::chrono::steady_clock::time_point Now() {
  return std::chrono::steady_clock::now();
}

}  // namespace

void Supervisor::MakeFar() {
  for (const auto& process : processes_) {
    if (process->state() != Process::State::kLocal ||
        process->ResidentBytes() < kLeastFarBytes) {
      continue;
    }
    Check(process.get(), process->AskForUffd(device_.get()));
  }
}

uint64_t Supervisor::ShareLimit(const Process* becoming) {
  uint64_t local = 0;
  uint64_t stopped = 0;
  for (const auto& process : processes_) {
    if (process.get() == becoming) continue;
    if (process->state() != Process::State::kFar) {
      local += process->ResidentBytes();
    } else {
      stopped += process->StoppedBytes();
    }
  }
  // What others have is not there for those that are far. What cannot be had of
  // a process that is stopped leaves these something to go on with.
  const uint64_t left = std::max(
      {AlignDown(limit_ - std::min(limit_, local), kLimitStep), 8 * kMiB,
       stopped == 0 ? 0 : AlignDown(stopped, kLimitStep) + kBesideStopped});
  if (left != set_limit_) {
    set_limit_ = left;
    (void)pager_->SetLimit(left);
  }
  return local;
}

uint64_t Supervisor::Growth() {
  uint64_t growth = 0;
  for (const auto& process : processes_) {
    if (process->state() == Process::State::kFar) {
      growth += process->AskGrowth();
    }
  }
  return growth;
}

void Supervisor::Hold(uint64_t unfound) {
  const uint64_t used = pager_->usage_bytes() + unfound;
  const SteadyTime now = Now();
  if (used > set_limit_ + kBrakeBytes) {
    if (brake_.held() == 0) braked_until_ = now + kLongestBrake;
    for (const auto& process : processes_) {
      if (process->state() == Process::State::kFar && process->growth() > 0) {
        brake_.Stop(process->pid());
      }
    }
    if (now < braked_until_) return;
    static LogLimiter limiter(1);
    uint64_t suppressed = 0;
    if (limiter.Allow(&suppressed)) {
      LogRaw(LogLevel::kError,
             "the limit is passed by %llu bytes, as nothing can be taken out",
             static_cast<unsigned long long>(used - set_limit_));
    }
  } else if (used > set_limit_ + kBrakeBytes / 4 && now < braked_until_) {
    return;
  }
  if (brake_.held() > 0) brake_.Release();
}

milliseconds Supervisor::Tick() {
  ++ticks_;
  const uint64_t used = ShareLimit(nullptr) + pager_->usage_bytes();
  if (used > FarThreshold(limit_)) MakeFar();
  const bool near = used + limit_ / 4 > limit_;
  // Finding it takes as long as it is large: they are not to go on meanwhile.
  const uint64_t growth = Growth();
  if (near && growth > 0) Hold(growth);
  for (const auto& process : processes_) {
    if (process->state() != Process::State::kFar) continue;
    if (near || ticks_ % 8 == 0) process->Track();
  }
  Hold(/*unfound=*/0);
  if (ticks_ % 64 == 0) RemoveUnreported(/*all=*/false);
  const uint64_t threshold = FarThreshold(limit_);
  if (used >= threshold) return near ? kShortestTick : 4 * kShortestTick;
  const auto until = milliseconds((threshold - used) / kBytesPerMs);
  return std::clamp(until, kShortestTick, kLongestTick);
}

}  // namespace farswap::launcher

#include "client/pager/forks/poison_runs.h"

#include <errno.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "client/pager/map_events.h"
#include "common/units.h"

namespace farswap::pager {
namespace {

using Clock = std::chrono::steady_clock;

// How long a child may be in the way of its own poison: its events are read
// meanwhile, so each is over in some microseconds.
constexpr std::chrono::seconds kPoisonWait{10};
constexpr std::chrono::microseconds kPoisonPause{50};
constexpr int kEagerTries = 1000;

bool PoisonUntil(UffdForked* uffd, std::vector<AddressRange> runs,
                 Clock::time_point until);

// What of the runs lies in the range is, from now on, at `to`.
void MoveRuns(const MapEvent& move, std::vector<AddressRange>* runs) {
  std::vector<AddressRange> moved;
  for (const auto& [start, end] : *runs) {
    char* const from = std::clamp(start, move.start, move.end);
    char* const until = std::clamp(end, move.start, move.end);
    if (start < std::min(end, move.start)) {
      moved.emplace_back(start, std::min(end, move.start));
    }
    if (from < until) {
      moved.emplace_back(move.to + (from - move.start),
                         move.to + (until - move.start));
    }
    if (std::max(start, move.end) < end) {
      moved.emplace_back(std::max(start, move.end), end);
    }
  }
  *runs = std::move(moved);
}

// The child's own changes, that nobody else reads: what it moves is to be
// poisoned where it goes to; what it gives up is poisoned all the same. False:
// there are none.
bool FollowChanges(UffdForked* uffd, std::vector<AddressRange>* runs,
                   Clock::time_point until) {
  bool any = false;
  while (const auto message = uffd->Read()) {
    any = true;
    if (message->fault) continue;
    const MapEvent& change = message->change;
    if (change.kind == MapEvent::Kind::kRemap) MoveRuns(change, runs);
    if (change.kind != MapEvent::Kind::kFork) continue;
    UffdForked child(change.child);
    if (!PoisonUntil(&child, *runs, until)) child.Leak();
  }
  return any;
}

bool PoisonUntil(UffdForked* uffd, std::vector<AddressRange> runs,
                 Clock::time_point until) {
  int refused = 0;  // In a row.
  while (!runs.empty()) {
    if (Clock::now() >= until) return false;
    AddressRange& run = runs.back();
    const auto bytes = static_cast<size_t>(run.second - run.first);
    const OpResult result = uffd->Poison(run.first, bytes);
    run.first += result.done;
    if (result.error == ESRCH) return true;
    const bool later = result.error == EAGAIN || result.error == ENOMEM;
    // Else present (EEXIST), or not mapped any more.
    if (!result.ok() && !later) run.first += kPageBytes;
    if (run.first == run.second) runs.pop_back();
    refused = later ? refused + 1 : 0;
    if (!later) continue;
    // Who changes the map all the time is out of the way for some
    // microseconds once its change was read.
    const bool changed = FollowChanges(uffd, &runs, until);
    if (!changed && refused > kEagerTries) {
      std::this_thread::sleep_for(kPoisonPause);
    }
  }
  return true;
}

}  // namespace

bool PoisonRuns(UffdForked* uffd, std::vector<AddressRange> runs) {
  return PoisonUntil(uffd, std::move(runs), Clock::now() + kPoisonWait);
}

}  // namespace farswap::pager

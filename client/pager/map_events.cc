#include "client/pager/map_events.h"

#include <sched.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "common/log_raw.h"

namespace farswap::pager {
namespace {

// First the reader yields, then each of its turns is a millisecond at least.
constexpr int kYields = 500;
// Then short sleeps, and then long ones.
constexpr int kNaps = 500;
constexpr std::chrono::microseconds kNap{50};
constexpr std::chrono::microseconds kForkPause{50};

bool Overlap(const char* start, const char* end, const char* at, size_t bytes) {
  return start < at + bytes && at < end;
}

bool IsFork(const MapEvent& event) {
  return event.kind == MapEvent::Kind::kFork;
}

bool IsAbout(const MapEvent& event, const char* at, size_t bytes) {
  if (IsFork(event)) return false;
  if (Overlap(event.start, event.end, at, bytes)) return true;
  return event.kind == MapEvent::Kind::kRemap &&
         Overlap(event.to, event.to + (event.end - event.start), at, bytes);
}

}  // namespace

// Both sides wait for each other by yielding: for one ioctl at most, or for
// one read that does not block; but for a fork it is some milliseconds, and for
// a mover some hundred microseconds. Who yields at a real time priority lets
// nobody else go on, so it is not done for long.
void MapEvents::Enter() {
  for (;;) {
    operations_.fetch_add(1);
    if (!closed_.load()) return;
    operations_.fetch_sub(1);
    for (int turn = 0; closed_.load(); ++turn) {
      if (turn < kYields) {
        sched_yield();
      } else {  // A fork, or a mover.
        std::this_thread::sleep_for(turn < kYields + kNaps ? kNap : kForkPause);
      }
    }
  }
}

void MapEvents::Close() {
  closed_.store(true);
  for (int turn = 0; operations_.load() != 0; ++turn) {
    // Which Sleeper comes first: of an older one's scratch nothing follows.
    const uint64_t sleeper = sleeper_.load();
    if (sleeper != 0 && moved_()) EndSleeper(sleeper);
    if (turn < kYields) {
      sched_yield();
    } else if (turn < kYields + kNaps) {
      std::this_thread::sleep_for(kNap);
    } else {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    // The program would hang in its next change of the map, without a word.
    if (turn == kYields + kNaps + patience_) {
      DieRaw(
          "an operation on far memory does not end: %d under way, sleeper "
          "%llu, %zu changes untold; has the program unmapped, or mapped over, "
          "what is not its own (the stack of a thread)?",
          operations_.load(), static_cast<unsigned long long>(sleeper),
          count());
    }
  }
}

void MapEvents::EndSleeper(uint64_t turn) {
  if (sleeper_.compare_exchange_strong(turn, 0)) Leave();
}

void MapEvents::SetScratch(char* at, size_t bytes,
                           std::function<bool()> moved) {
  scratch_ = at;
  scratch_bytes_ = bytes;
  moved_ = std::move(moved);
}

void MapEvents::SetNotInherited(const char* at, size_t bytes) {
  own_ = at;
  own_bytes_ = bytes;
}

bool MapEvents::IsOfScratch(const MapEvent& event) const {
  const char* const at =
      event.kind == MapEvent::Kind::kRemap ? event.to : event.start;
  return at >= scratch_ && at < scratch_ + scratch_bytes_;
}

MapEvents::Sleeper::Sleeper(MapEvents* events, const char* at, size_t bytes)
    : events_(*events) {
  events_.Enter();
  refused_ = events_.IsRefused(at, bytes);
  turn_ = events_.turns_.fetch_add(1) + 1;
  events_.sleeper_.store(turn_);
}

MapEvents::Sleeper::~Sleeper() { events_.EndSleeper(turn_); }

void MapEvents::Open() { closed_.store(false); }

bool MapEvents::IsChanging(const char* at, size_t bytes) const {
  if (!any()) return false;
  MutexLock lock(&mu_);
  return std::any_of(
      pending_.begin(), pending_.end(),
      [&](const MapEvent& event) { return IsAbout(event, at, bytes); });
}

bool MapEvents::IsRefused(const char* at, size_t bytes) const {
  if (!any()) return false;
  MutexLock lock(&mu_);
  return std::any_of(pending_.begin(), pending_.end(),
                     [&](const MapEvent& event) {
                       mu_.AssertHeld();
                       return IsFork(event) ? !IsExceptedLocked(at, bytes)
                                            : IsAbout(event, at, bytes);
                     });
}

bool MapEvents::IsExceptedLocked(const char* at, size_t bytes) const {
  if (at >= own_ && at < own_ + own_bytes_) return true;
  return std::any_of(excepted_.begin(), excepted_.end(), [&](const auto& e) {
    return e.first <= at && at + bytes <= e.second;
  });
}

bool MapEvents::Except(char* at, size_t bytes,
                       const std::function<bool(int child)>& give) {
  MutexLock lock(&mu_);
  if (std::none_of(pending_.begin(), pending_.end(), IsFork)) return false;
  if (IsExceptedLocked(at, bytes)) return false;
  for (const MapEvent& event : pending_) {
    if (IsFork(event) && !give(event.child)) {
      lacked_.emplace_back(event.child, at);
    }
  }
  excepted_.emplace_back(at, at + bytes);
  return true;
}

void MapEvents::Lack(char* at, size_t bytes) {
  if (!any() || (at >= own_ && at < own_ + own_bytes_)) return;
  MutexLock lock(&mu_);
  for (const MapEvent& event : pending_) {
    if (!IsFork(event)) continue;
    for (size_t i = 0; i < bytes; i += kPageBytes) {
      lacked_.emplace_back(event.child, at + i);
    }
  }
}

std::vector<char*> MapEvents::TakeLacked(int child) {
  std::vector<char*> lacked;
  MutexLock lock(&mu_);
  for (const auto& [by, at] : lacked_) {
    if (by == child) lacked.push_back(at);
  }
  std::erase_if(lacked_, [&](const auto& l) { return l.first == child; });
  return lacked;
}

bool MapEvents::IsMoving(const char* at, size_t bytes) const {
  if (!any()) return false;
  MutexLock lock(&mu_);
  return std::any_of(pending_.begin(), pending_.end(),
                     [&](const MapEvent& event) {
                       return event.kind == MapEvent::Kind::kRemap &&
                              IsAbout(event, at, bytes);
                     });
}

void MapEvents::AddLocked(const MapEvent& event,
                          std::vector<MapEvent>* to_apply) {
  // What others were given, this one lacks.
  if (IsFork(event)) excepted_.clear();
  pending_.push_back(event);
  to_apply->push_back(event);
  count_.store(pending_.size(), std::memory_order_release);
}

void MapEvents::Read(const MapEvent& event, std::vector<MapEvent>* to_apply) {
  if (IsOfScratch(event)) return;
  MutexLock lock(&mu_);
  if (IsOurUnmapLocked(event)) return;
  const bool ours = std::any_of(zaps_.begin(), zaps_.end(), [&](const Zap& z) {
    return Overlap(event.start, event.end, z.at, z.pages * kPageBytes);
  });
  if (event.kind != MapEvent::Kind::kRemove || !ours) {
    AddLocked(event, to_apply);
    return;
  }
  // Runs of pages that are not ours.
  char* from = event.start;
  for (char* page = event.start; page < event.end; page += kPageBytes) {
    if (!IsOursLocked(page)) continue;
    if (from < page) AddLocked({event.kind, from, page}, to_apply);
    from = page + kPageBytes;
  }
  if (from < event.end) {
    AddLocked({event.kind, from, event.end}, to_apply);
  }
}

bool MapEvents::IsOurUnmapLocked(const MapEvent& event) {
  if (event.kind != MapEvent::Kind::kUnmap) return false;
  const auto bytes = static_cast<size_t>(event.end - event.start);
  for (Unmap& unmap : unmaps_) {
    const bool inside =
        event.start >= unmap.at && event.end <= unmap.at + unmap.bytes;
    if (!inside || bytes > unmap.unseen) continue;
    unmap.unseen -= bytes;
    return true;
  }
  return false;
}

bool MapEvents::IsOursLocked(const char* page) {
  for (Zap& zap : zaps_) {
    if (!Overlap(zap.at, zap.at + zap.pages * kPageBytes, page, kPageBytes)) {
      continue;
    }
    const size_t i = static_cast<size_t>(page - zap.at) / kPageBytes;
    if (zap.seen.test(i)) continue;
    zap.seen.set(i);
    return true;
  }
  return false;
}

void MapEvents::Applied(const MapEvent& event) {
  MutexLock lock(&mu_);
  const auto it = std::find(pending_.begin(), pending_.end(), event);
  if (it != pending_.end()) pending_.erase(it);
  if (std::none_of(pending_.begin(), pending_.end(), IsFork)) {
    excepted_.clear();
  }
  count_.store(pending_.size(), std::memory_order_release);
}

MapEvents::OwnZap::OwnZap(MapEvents* events, char* at, size_t bytes)
    : events_(*events), at_(at) {
  MutexLock lock(&events_.mu_);
  events_.zaps_.push_back({at, bytes / kPageBytes, {}});
}

MapEvents::OwnZap::~OwnZap() {
  // The read that woke us may not have been followed by Read yet.
  events_.Enter();
  events_.Leave();
  MutexLock lock(&events_.mu_);
  const auto it = std::find_if(events_.zaps_.begin(), events_.zaps_.end(),
                               [&](const Zap& zap) { return zap.at == at_; });
  events_.zaps_.erase(it);
}

MapEvents::OwnUnmap::OwnUnmap(MapEvents* events, char* at, size_t bytes)
    : events_(*events), at_(at) {
  // What was read before is not ours.
  events_.Enter();
  events_.Leave();
  MutexLock lock(&events_.mu_);
  events_.unmaps_.push_back({at, bytes, bytes});
}

MapEvents::OwnUnmap::~OwnUnmap() {
  // As in ~OwnZap.
  events_.Enter();
  events_.Leave();
  MutexLock lock(&events_.mu_);
  const auto it =
      std::find_if(events_.unmaps_.begin(), events_.unmaps_.end(),
                   [&](const Unmap& unmap) { return unmap.at == at_; });
  events_.unmaps_.erase(it);
}

}  // namespace farswap::pager

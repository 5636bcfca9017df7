// Uffd: the program's forks.
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <vector>

#include "client/pager/uffd.h"
#include "client/pager/uffd_abi.h"
#include "common/units.h"

// Linux 5.14; glibc has it from 2.34 on.
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

namespace farswap::pager {
namespace {

// For a thread that sleeps between its change and its telling of it.
constexpr std::chrono::milliseconds kSettleWait{200};
constexpr std::chrono::milliseconds kDescriptorPause{1};
// At some tenths of a microsecond.
constexpr int kWakeTurns = 500;
constexpr int kUnsurePauseMs = 1;

struct Told {
  MapEvent change;
  size_t message;
};

// A discard is told before it is done, so one that is told after a fork came
// after it. Moves and unmappings are told afterwards, and some time later.
// Behind a discard that is put off there must be none.
void Sort(const std::vector<Told>& told, size_t certain,
          Uffd::Forking* forking) {
  using Kind = MapEvent::Kind;
  size_t fork = ~size_t{0};
  bool moved = false;
  for (const Told& t : told) {
    if (t.change.kind == Kind::kFork) fork = std::min(fork, t.message);
    moved |= t.message > fork && t.change.kind != Kind::kFork &&
             t.change.kind != Kind::kRemove;
  }
  for (const Told& t : told) {
    if (t.change.kind == Kind::kFork) {
      forking->forks.push_back(t.change);
    } else if (t.message > fork && !moved) {
      forking->later.push_back(t.change);
    } else {
      forking->changes.push_back(t.change);
      if (t.message >= certain) forking->unclear.push_back(t.change);
    }
  }
}

}  // namespace

bool Uffd::Inherit(char* at, size_t bytes) {
  return forks() && madvise(at, bytes, MADV_DOFORK) == 0;
}

void Uffd::BeginFork() {
  forking_.Map();
  certain_ = 0;
  events_.Close();
}

void Uffd::ReadRaw() {
  for (;;) {
    if (forking_.Read(fd())) continue;
    if (!IsNoDescriptor(errno)) return;
    if (spare_fd_ < 0) {
      // Somebody was faster. The forking thread waits for one.
      std::this_thread::sleep_for(kDescriptorPause);
      return;
    }
    close(spare_fd_);
    spare_fd_ = -1;
  }
}

// A fork counts as unread from its beginning on, before the map is copied. So
// when nothing is, and no fork was read, what was read is from before it. Who
// was read just now counts until he has woken.
void Uffd::NoteCertain() {
  for (int turn = 0; turn < kWakeTurns && !forking_.has_fork(); ++turn) {
    if (!HasUnread()) {
      certain_ = forking_.count();
      return;
    }
    ReadRaw();
  }
}

void Uffd::ReadThroughFork(const WaitSet& set) {
  for (;;) {
    const bool unsure = certain_ < forking_.count() && !forking_.has_fork();
    const uint32_t ready = set.Wait(unsure ? kUnsurePauseMs : -1);
    ReadRaw();
    NoteCertain();
    if (ready > 1) return;
  }
}

Uffd::Forking Uffd::EndFork() {
  Forking forking;
  // A thread that was on its way to tell when the map was copied.
  const auto until = std::chrono::steady_clock::now() + kSettleWait;
  do {
    ReadRaw();
    forking.settled = !HasUnread();
  } while (!forking.settled && std::chrono::steady_clock::now() < until);
  if (spare_fd_ < 0) spare_fd_ = open("/dev/null", O_RDONLY | O_CLOEXEC);
  std::vector<Told> told;
  const std::vector<Message> messages = forking_.TakeAll();
  for (size_t i = 0; i < messages.size(); ++i) {
    if (messages[i].fault) {
      forking.faults.push_back(*messages[i].fault);
      continue;
    }
    events_.Read(messages[i].change, &changes_);
    for (const MapEvent& change : changes_) told.push_back({change, i});
    changes_.clear();
  }
  events_.Open();
  Sort(told, certain_, &forking);
  return forking;
}

OpResult Uffd::Unshare(char* at, size_t bytes, uint64_t* /*opened*/) {
  {
    const auto tid = static_cast<uint32_t>(gettid());
    MutexLock lock(&unsharers_mu_);
    const auto end = unsharers_.end();
    if (std::find(unsharers_.begin(), end, tid) == end) {
      unsharers_.push_back(tid);
    }
  }
  if (madvise(at, bytes, MADV_POPULATE_WRITE) == 0) return {0, bytes};
  return {errno, 0};
}

bool Uffd::MayFault(uint32_t tid) const {
  MutexLock lock(&unsharers_mu_);
  return std::find(unsharers_.begin(), unsharers_.end(), tid) !=
         unsharers_.end();
}

}  // namespace farswap::pager

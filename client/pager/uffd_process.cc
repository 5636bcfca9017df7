#include "client/pager/uffd_process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <thread>
#include <utility>

#include "client/pager/uffd_abi.h"
#include "client/pager/uffd_repeat.h"

namespace farswap::pager {
namespace {

// Never written.
alignas(kPageBytes) const char kZeroPage[kPageBytes] = {};

// For a thread that sleeps between its change and its telling of it.
constexpr std::chrono::milliseconds kSettleWait{200};
constexpr std::chrono::microseconds kSettlePause{50};
// For a thread to wake that sleeps until its change is read.
constexpr std::chrono::microseconds kWakeWait{200};
// For an event that another one's slowness leaves unread, or memory.
constexpr std::chrono::seconds kDecideWait{2};
constexpr std::chrono::seconds kEndWait{1};

bool IsMoveOrUnmap(const MapEvent& change) {
  return change.kind == MapEvent::Kind::kRemap ||
         change.kind == MapEvent::Kind::kUnmap;
}

}  // namespace

UffdProcess::UffdProcess(OwnFd uffd, char* transit)
    : UffdSpace(std::move(uffd), OwnFd(), /*forks=*/true), transit_(transit) {
  SetNotInherited(transit, kTransitBytes);
}

void UffdProcess::Attach(OwnFd pagemap, std::unique_ptr<Mover> mover) {
  {
    MutexLock lock(&pagemap_mu_);
    if (!has_pagemap()) SetPagemap(std::move(pagemap));
  }
  owned_mover_ = std::move(mover);
  mover_.store(owned_mover_.get(), std::memory_order_release);
}

void UffdProcess::SetPagemapOf(uint32_t tid) {
  const std::string path = "/proc/" + std::to_string(tid) + "/pagemap";
  OwnFd pagemap(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  MutexLock lock(&pagemap_mu_);
  if (pagemap.valid() && !has_pagemap()) SetPagemap(std::move(pagemap));
}

// --- forks ---

std::optional<Message> UffdProcess::TryNextNoted() {
  std::optional<Message> message = TryNext();
  if (message && message->fault) {
    tid_.store(message->fault->tid, std::memory_order_relaxed);
  }
  if (!message) return message;
  MutexLock lock(&unclear_mu_);
  const bool change = !message->fault && IsMoveOrUnmap(message->change);
  if (!message->fault && message->change.kind == MapEvent::Kind::kFork) {
    ++forks_pending_;
  }
  if (change) unclear_.push_back(message->change);
  // A fork counts as unread from before the kernel copies the map. So what was
  // read when nothing is unread came before any fork that is told later. It is
  // looked for a while, as what was just read is unread until its thread has
  // woken, which may be about to fork.
  const auto until = std::chrono::steady_clock::now() + kWakeWait;
  while (forks_pending_ == 0 && !unclear_.empty()) {
    if (!HasUnread()) {
      unclear_.clear();
    } else if (!change || HasMessage() ||
               std::chrono::steady_clock::now() > until) {
      break;  // What is still to be read is not waited for.
    }
  }
  return message;
}

bool UffdProcess::HasMessage() const {
  pollfd waited{fd(), POLLIN, 0};
  return poll(&waited, 1, 0) > 0;
}

bool UffdProcess::TakeUnclear(std::vector<MapEvent>* unclear) {
  const auto until = std::chrono::steady_clock::now() + kSettleWait;
  bool settled = !HasUnread();
  while (!settled && std::chrono::steady_clock::now() < until) {
    std::this_thread::sleep_for(kSettlePause);
    settled = !HasUnread();
  }
  MutexLock lock(&unclear_mu_);
  *unclear = unclear_;
  --forks_pending_;
  return settled;
}

bool UffdProcess::IsAlive() {
  // Where nothing can be mapped (vm.mmap_min_addr), so nothing is done.
  uffdio_zeropage nowhere{{0, kPageBytes}, 0, 0};
  if (gone_.load(std::memory_order_relaxed)) return false;
  if (Ioctl(fd(), UFFDIO_ZEROPAGE, &nowhere) != ESRCH) return true;
  SetGone();
  return false;
}

OpResult UffdProcess::Unshare(char* at, size_t bytes, uint64_t* opened) {
  Mover* const asked = mover();
  if (asked == nullptr || !unshare_mu_.TryLock()) return {EBUSY, 0};
  const OpResult unshared = UnshareAlone(asked, at, bytes, opened);
  unshare_mu_.Unlock();
  return unshared;
}

OpResult UffdProcess::UnshareAlone(Mover* asked, char* at, size_t bytes,
                                   uint64_t* opened) {
  // An earlier one has no answer, as it waits there for a fault to be served.
  if (IsAwaiting() && !asked->Answers()) return {EBUSY, 0};
  const uint64_t guarded = CountShared(at, at + bytes).guarded;
  // Its mover is to write there, and must not wait for this process.
  if (forked() && !Unprotect(at, bytes)) return {EAGAIN, 0};
  *opened = guarded;
  SetAwaited({at, at + bytes});
  const OpResult unshared = asked->Unshare(at, bytes);
  if (unshared.error != ETIMEDOUT) SetAwaited({});
  return unshared;
}

void UffdProcess::SetAwaited(const AddressRange& range) {
  MutexLock lock(&awaited_mu_);
  awaited_ = range;
}

bool UffdProcess::IsAwaiting() {
  MutexLock lock(&awaited_mu_);
  return awaited_.first != awaited_.second;
}

bool UffdProcess::IsAwaited(const char* at) {
  MutexLock lock(&awaited_mu_);
  return awaited_.first <= at && at < awaited_.second;
}

// --- out ---

OpResult UffdProcess::Zap(char*, size_t) { return {EINVAL, 0}; }

OpResult UffdProcess::DropTable(char*) { return {EINVAL, 0}; }

bool UffdProcess::EmptyHalf(size_t half) {
  if (!filled_[half]) return true;
  char* const at = transit_ + half * kPmdBytes;
  const MapEvents::OwnZap zap(&events_, at, kPmdBytes);
  filled_[half] = !mover()->Zap(at, kPmdBytes).ok();
  return !filled_[half];
}

char* UffdProcess::TakeTransit(size_t bytes) {
  // What is given out does not lie across the halves.
  const size_t left = kPmdBytes - used_ % kPmdBytes;
  if (bytes > left || used_ == kTransitBytes) {
    used_ = AlignUp(used_, kPmdBytes) % kTransitBytes;
  }
  const size_t half = used_ / kPmdBytes;
  if (used_ % kPmdBytes == 0) {
    // The one that was left is emptied now, so that no more than one is full.
    if (!EmptyHalf(1 - half) || !EmptyHalf(half)) return nullptr;
  }
  char* const place = transit_ + used_;
  used_ += bytes;
  filled_[half] = true;
  return place;
}

OpResult UffdProcess::Decide(char* transit, char* from, size_t bytes) {
  // Nothing else is put there before it was emptied.
  used_ = kTransitBytes;
  size_t done = 0;
  bool refused = false;  // From here on nothing was moved, nor will be.
  const auto until = std::chrono::steady_clock::now() + kDecideWait;
  for (size_t at = 0; at < bytes; at += kPageBytes) {
    OpResult filled;
    do {
      filled = CopyIn(transit + at, kZeroPage, kPageBytes);
    } while ((filled.error == EAGAIN || filled.error == ENOMEM) &&
             std::chrono::steady_clock::now() < until);
    if (filled.error == EEXIST && !refused) {
      done += kPageBytes;
    } else if (filled.ok()) {
      refused = true;
    } else if (IsGone()) {
      return {ESRCH, 0};
    } else {
      mover()->Kill("its memory could not be moved in order");
      return {ESRCH, 0};
    }
  }
  // The move may have been done after other pages were moved there: then it is
  // not known which bytes these are. What was discarded is left out by who puts
  // the rest back.
  if (done > 0 && IsMoving(from, bytes)) {
    mover()->Kill("it moved its memory while it did not answer");
    return {ESRCH, 0};
  }
  return {done == bytes ? 0 : EBUSY, done};
}

OpResult UffdProcess::MoveToTransit(char* transit, char* from, size_t bytes) {
  return Repeat(bytes, [&](size_t at, int64_t* done) {
    OpResult moved;
    {
      const MapEvents::Operation operation(&events_, from + at, bytes - at);
      if (operation.refused()) return kRefused;
      moved = mover()->Move(transit + at, from + at, bytes - at);
    }
    if (moved.error == ETIMEDOUT) {
      moved = Decide(transit + at, from + at, bytes - at);
    }
    *done = static_cast<int64_t>(moved.done);
    if (moved.done == 0 && HasMoved(transit + at, from + at, moved.error)) {
      *done = kPageBytes;
      return EAGAIN;
    }
    return moved.error;
  });
}

bool UffdProcess::IsEnding() {
  const auto until = std::chrono::steady_clock::now() + kEndWait;
  while (IsAlive()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(kSettlePause);
  }
  return true;
}

bool UffdProcess::End(const char* why) {
  if (mover() != nullptr && !IsEnding()) mover()->Kill(why);
  return true;
}

void UffdProcess::Spare(std::vector<AddressRange> ranges) {
  MutexLock lock(&spared_mu_);
  spared_ = std::move(ranges);
}

bool UffdProcess::IsSpared(const char* at, size_t bytes) {
  MutexLock lock(&spared_mu_);
  return std::any_of(spared_.begin(), spared_.end(), [&](const auto& range) {
    return at < range.second && range.first < at + bytes;
  });
}

OpResult UffdProcess::MoveOut(char* to, char* from, size_t bytes) {
  if (gone_.load(std::memory_order_relaxed)) return {ESRCH, 0};
  if (IsSpared(from, bytes)) return {EAGAIN, 0};
  if (mover() == nullptr) return {EBUSY, 0};
  MutexLock lock(&transit_mu_);
  char* const transit = TakeTransit(bytes);
  OpResult moved{EBUSY, 0};
  if (transit != nullptr) moved = MoveToTransit(transit, from, bytes);
  // Something of it is there (mlockall has all of it): it is emptied first.
  if (moved.error == EEXIST) {
    filled_[0] = filled_[1] = true;
    used_ = kTransitBytes;
  }
  // Which is also what is said of pages that others have, or hold.
  stalled_.store(moved.error == EBUSY && !mover()->Answers(),
                 std::memory_order_relaxed);
  if (moved.done == 0) return moved;
  const int error = mover()->Read(to, transit, moved.done);
  // So much is not to be there twice for longer than it must.
  if (bytes == kPmdBytes)
    (void)EmptyHalf(static_cast<size_t>(transit - transit_) / kPmdBytes);
  if (error == 0) return moved;
  if (!IsEnding()) mover()->Kill("what was moved cannot be read");
  return {ESRCH, 0};
}

}  // namespace farswap::pager

// How the ioctls of userfaultfd that work on a range answer, and how their
// callers go on.
#ifndef FARSWAP_CLIENT_PAGER_UFFD_REPEAT_H_
#define FARSWAP_CLIENT_PAGER_UFFD_REPEAT_H_

#include <errno.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <thread>

#include "client/pager/address_space.h"

namespace farswap::pager {

// How often an operation that the kernel stopped half-way goes on before it
// gives up with EAGAIN. Each turn either did a page or lost a race.
inline constexpr int kMaxTurns = 4096;

// While an event is not read the kernel refuses everything. The reader never
// waits, so that is over in some microseconds; what was fetched for a fault is
// not thrown away for it. At most 10 ms.
inline constexpr int kUnreadTurns = 200;
inline constexpr std::chrono::microseconds kUnreadPause{50};

// An operation's answer where an event is read and not applied. That is over
// only when its caller has let go of the block's lock.
inline constexpr int kRefused = -1;

// The four ways these ioctls answer: all done (0); part done (EAGAIN with a
// positive count, the cause hidden until the rest is tried); nothing done
// (the errno, also in the field, negated); a bad argument (the field is
// untouched, so it is zeroed before). `Try(offset, &done)` runs one ioctl for
// the rest of the range and returns its errno.
//
// The kernel looks for an unread event first, then for the mapping, so where
// one was unmapped in between it says ENOENT. It is asked again: of an event
// that is still unread it says EAGAIN then, and one that was read is known.
template <typename Try>
OpResult Repeat(size_t bytes, Try&& attempt) {
  OpResult result;
  int unread = 0;
  bool absent = false;  // As was said at this offset.
  for (int turn = 0; turn < kMaxTurns; ++turn) {
    int64_t done = 0;
    const int error = attempt(result.done, &done);
    if (error == 0) return {0, bytes};
    if (done > 0) result.done += static_cast<size_t>(done);
    if (error == kRefused) break;
    if (error == ENOENT && !absent) {
      absent = true;
      continue;
    }
    if (error != EAGAIN) return {error, result.done};
    absent = false;
    if (result.done >= bytes) return {0, bytes};
    if (done > 0) continue;
    if (++unread == kUnreadTurns) break;
    std::this_thread::sleep_for(kUnreadPause);
  }
  result.error = EAGAIN;
  return result;
}

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_UFFD_REPEAT_H_

#include "client/launcher/preload/commands.h"

#include <errno.h>
#include <sys/mman.h>

#include "client/launcher/preload/raw_calls.h"
#include "client/launcher/preload/uffd_calls.h"

namespace farswap::launcher::preload {
namespace {

// Of Linux 5.14 and 5.18.
constexpr int kPopulateWrite = 23;
constexpr int kDontneedLocked = 24;

bool IsWithin(uint64_t start, uint64_t bytes, uint64_t from, uint64_t to) {
  return start >= from && start <= to && bytes <= to - start;
}

bool Overlaps(uint64_t start, uint64_t bytes, uint64_t from, uint64_t to) {
  return start < to && (start >= from || bytes > from - start);
}

bool IsInTransit(const OwnMemory& own, const Command& command) {
  return IsWithin(command.to, command.bytes, own.transit, own.end);
}

bool IsOwn(const OwnMemory& own, uint64_t start, uint64_t bytes) {
  return Overlaps(start, bytes, own.start, own.end);
}

int32_t Advise(const Command& command, int advice) {
  return static_cast<int32_t>(
      -Call(SYS_madvise, command.to, command.bytes, advice));
}

int32_t Make(const Received& received, Served* served, int* give) {
  if (received.fd == kNoFd) return received.fd_refused ? EMFILE : EBADF;
  // A second one would end the first, and with it what is remote.
  if (served->uffd != kNoFd) return EEXIST;
  const int64_t uffd = MakeUffd(received.fd);
  if (uffd < 0) return static_cast<int32_t>(-uffd);
  served->uffd = static_cast<int>(uffd);
  *give = served->uffd;
  return 0;
}

int32_t Take(const Received& received, Served* served) {
  if (received.fd == kNoFd) return received.fd_refused ? EMFILE : EBADF;
  if (served->uffd != kNoFd) return EEXIST;
  served->uffd = received.fd;
  return 0;
}

int32_t Move(const Command& command, const Served& served, uint64_t* done) {
  const OwnMemory& own = served.own;
  if (!IsInTransit(own, command) || IsOwn(own, command.from, command.bytes)) {
    return EFAULT;
  }
  // Before the page goes, so that a fork that finds it gone finds this too.
  __atomic_store_n(served.paged, 1, __ATOMIC_SEQ_CST);
  return MovePages(served.uffd, command.to, command.from, command.bytes, done);
}

int32_t Zap(const Command& command, const OwnMemory& own) {
  if (!IsInTransit(own, command)) return EFAULT;
  const int32_t error = Advise(command, kDontneedLocked);
  return error == EINVAL ? Advise(command, MADV_DONTNEED) : error;
}

// A page that is missing is a fault of this thread: it waits for its answer.
int32_t Unshare(const Command& command, const OwnMemory& own) {
  if (IsOwn(own, command.to, command.bytes)) return EFAULT;
  return Advise(command, kPopulateWrite);
}

int32_t Run(const Received& received, Served* served, Reply* reply, int* give) {
  switch (received.command.op) {
    case Op::kMakeUffd:
      return Make(received, served, give);
    case Op::kTakeUffd:
      return Take(received, served);
    case Op::kMove:
      return Move(received.command, *served, &reply->done);
    case Op::kZap:
      return Zap(received.command, served->own);
    case Op::kUnshare:
      return Unshare(received.command, served->own);
    case Op::kPing:
      return 0;
  }
  return EINVAL;
}

}  // namespace

void Execute(const Received& received, Served* served, Reply* reply,
             int* give) {
  *give = kNoFd;
  reply->id = received.command.id;
  reply->done = 0;
  reply->error = received.whole ? Run(received, served, reply, give) : EINVAL;
  if (received.fd != kNoFd && received.fd != served->uffd) {
    (void)Call(SYS_close, received.fd);
  }
}

}  // namespace farswap::launcher::preload

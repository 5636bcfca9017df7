#include "client/launcher/preload/own_memory.h"

#include <sys/mman.h>

#include "client/launcher/preload/raw_calls.h"
#include "client/launcher/process_wire.h"

namespace farswap::launcher::preload {
namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kHuge = uint64_t{2} << 20;
constexpr uint64_t kMoverStack = 32 << 10;
// It calls poll() and one of two ways out.
constexpr uint64_t kWatcherStack = 8 << 10;
constexpr uint64_t kBelowTransit = kPage + kMoverStack + kWatcherStack + kPage;

constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

bool IsError(int64_t result) { return result < 0 && result > -4096; }

OwnMemory LayOut(uint64_t transit) {
  OwnMemory own;
  own.start = transit - kBelowTransit;
  own.mover_stack_end = own.start + kPage + kMoverStack;
  own.watcher_stack_end = own.mover_stack_end + kWatcherStack;
  own.tag_page = own.watcher_stack_end;
  own.transit = transit;
  own.end = transit + kTransitBytes;
  return own;
}

int64_t Unmap(uint64_t from, uint64_t to) {
  return from == to ? 0 : Call(SYS_munmap, from, to - from);
}

int64_t Advise(uint64_t from, uint64_t to, int advice) {
  return Call(SYS_madvise, from, to - from, advice);
}

// All but the tag page: usable (the guard is not), and not for children.
int64_t PrepareRest(const OwnMemory& own) {
  int64_t result = Call(SYS_mprotect, own.start, kPage, PROT_NONE);
  if (result == 0) result = Advise(own.start, own.tag_page, MADV_DONTFORK);
  if (result == 0) result = Advise(own.transit, own.end, MADV_DONTFORK);
  return result;
}

int64_t MapAt(uint64_t from, uint64_t to) {
  const int64_t at = Call(SYS_mmap, from, to - from, PROT_READ | PROT_WRITE,
                          kFlags | MAP_FIXED_NOREPLACE, -1, 0);
  return IsError(at) ? at : 0;
}

}  // namespace

int64_t MapOwnMemory(OwnMemory* own) {
  constexpr uint64_t kBytes = kBelowTransit + kHuge + kTransitBytes;
  const int64_t at =
      Call(SYS_mmap, 0, kBytes, PROT_READ | PROT_WRITE, kFlags, -1, 0);
  if (IsError(at)) return -at;
  const auto base = static_cast<uint64_t>(at);
  *own = LayOut((base + kBelowTransit + kHuge - 1) & ~(kHuge - 1));
  int64_t result = Unmap(base, own->start);
  if (result == 0) result = Unmap(own->end, base + kBytes);
  if (result == 0) result = PrepareRest(*own);
  if (result == 0)
    result = Advise(own->tag_page, own->transit, MADV_WIPEONFORK);
  if (result != 0) UnmapOwnMemory(*own);
  return -result;
}

int64_t MapOwnMemoryInChild(OwnMemory* own) {
  const int64_t below = MapAt(own->start, own->tag_page);
  if (below != 0) return MapOwnMemory(own);
  if (MapAt(own->transit, own->end) != 0) {
    (void)Unmap(own->start, own->tag_page);
    return MapOwnMemory(own);
  }
  return -PrepareRest(*own);
}

void ForgetTagPage(const OwnMemory& own) {
  (void)Advise(own.tag_page, own.transit, MADV_DONTNEED);
}

void UnmapOwnMemory(const OwnMemory& own) { (void)Unmap(own.start, own.end); }

}  // namespace farswap::launcher::preload

// The library's own memory in the process. It is never far memory.
#ifndef FARSWAP_CLIENT_LAUNCHER_PRELOAD_OWN_MEMORY_H_
#define FARSWAP_CLIENT_LAUNCHER_PRELOAD_OWN_MEMORY_H_

#include <cstdint>

namespace farswap::launcher::preload {

// One piece, from below: a guard page, the stack of the mover, that of the
// watcher, the tag page, the transit. All but the tag page is absent in a
// child (MADV_DONTFORK).
struct OwnMemory {
  uint64_t start;
  uint64_t mover_stack_end;
  uint64_t watcher_stack_end;
  uint64_t tag_page;
  uint64_t transit;
  uint64_t end;
};

// An errno, or 0.
int64_t MapOwnMemory(OwnMemory* own);

// In a forked child: maps anew what is absent there, at the same addresses; at
// others where the program was faster, and then all of it. An errno, or 0.
int64_t MapOwnMemoryInChild(OwnMemory* own);

// Gives up what a read of the tag page has put there. Not where it is
// registered: that would wait for the supervisor.
void ForgetTagPage(const OwnMemory& own);

void UnmapOwnMemory(const OwnMemory& own);

}  // namespace farswap::launcher::preload

#endif  // FARSWAP_CLIENT_LAUNCHER_PRELOAD_OWN_MEMORY_H_

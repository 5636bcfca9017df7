#include "client/pager/uffd_block_table.h"

#include <errno.h>
#include <sys/mman.h>

#include "client/pager/mapping.h"
#include "client/pager/uffd_abi.h"

// Linux 5.7; glibc has it from 2.32 on, with _GNU_SOURCE.
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

namespace farswap::pager {

BlockTable::BlockTable(int uffd, MapEvents* events)
    : uffd_(uffd), events_(*events) {}

bool BlockTable::Init() {
  MutexLock lock(&mu_);
  scratch_ = MapAligned(kPmdBytes);
  if (scratch_ == nullptr || !ResetScratch(/*over=*/true)) return false;
  // Only private memory can be wiped on fork: what was moved here.
  events_.SetScratch(scratch_, kPmdBytes, [this] {
    char* const at = scratch_;
    return at != nullptr && madvise(at, kPmdBytes, MADV_WIPEONFORK) == 0;
  });
  return true;
}

BlockTable::~BlockTable() {
  if (scratch_ != nullptr) munmap(scratch_, kPmdBytes);
}

char* BlockTable::scratch() { return scratch_; }

bool BlockTable::ResetScratch(bool over) {
  const int place = over ? MAP_FIXED : MAP_FIXED_NOREPLACE;
  return mmap(scratch_, kPmdBytes, PROT_NONE,
              MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE | place, -1,
              0) == scratch_;
}

// What is mapped there cannot be told from the program's own: not replaced.
void BlockTable::TakeScratchBack() {
  if (!ResetScratch(/*over=*/false)) scratch_ = nullptr;
}

OpResult BlockTable::Drop(char* block) {
  // The move would unlock a locked mapping, all of it. This does nothing where
  // no page is, and is refused for locked memory.
  if (madvise(block, kPmdBytes, MADV_COLD) != 0) return {errno, 0};
  MutexLock lock(&mu_);
  if (scratch_ == nullptr) return {ENOMEM, 0};
  {
    const MapEvents::Sleeper sleeper(&events_, block, kPmdBytes);
    if (sleeper.refused() || HasUnreadEvent(uffd_)) return {EAGAIN, 0};
    const int flags = MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP;
    if (mremap(block, kPmdBytes, kPmdBytes, flags, scratch_.load()) ==
        MAP_FAILED) {
      const int error = errno;
      // These are said before anything is done.
      if (error != EFAULT && error != EINVAL) TakeScratchBack();
      return {error, 0};
    }
  }
  // So that no event need be read of its unmapping.
  uffdio_range range{reinterpret_cast<uint64_t>(scratch_.load()), kPmdBytes};
  ioctl(uffd_, UFFDIO_UNREGISTER, &range);
  // Else the next one finds what is private there: its look may come too
  // early, which matters only to a program that unmaps this very block then.
  if (!ResetScratch(/*over=*/true)) TakeScratchBack();
  return {0, kPmdBytes};
}

}  // namespace farswap::pager

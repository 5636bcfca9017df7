#include "client/pager/mapping.h"

#include <stdint.h>
#include <sys/mman.h>

#include "common/units.h"

namespace farswap::pager {

char* MapAligned(size_t bytes) {
  const size_t room = bytes + kPmdBytes;
  void* const raw = mmap(nullptr, room, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (raw == MAP_FAILED) return nullptr;
  char* const start = static_cast<char*>(raw);
  char* const at = reinterpret_cast<char*>(
      AlignUp(reinterpret_cast<uintptr_t>(start), kPmdBytes));
  if (at > start) munmap(start, static_cast<size_t>(at - start));
  char* const end = start + room;
  if (at + bytes < end)
    munmap(at + bytes, static_cast<size_t>(end - at) - bytes);
  // A kernel without THP refuses the first: then there are no 2 MiB pages,
  // and everything works in small ones.
  madvise(at, bytes, MADV_HUGEPAGE);
  if (madvise(at, bytes, MADV_DONTFORK) != 0) {
    munmap(at, bytes);
    return nullptr;
  }
  return at;
}

}  // namespace farswap::pager

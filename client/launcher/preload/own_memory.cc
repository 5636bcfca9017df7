#include "client/launcher/preload/own_memory.h"

#include <sys/mman.h>

#include "client/launcher/preload/raw_calls.h"

namespace farswap::launcher {
namespace {

// False: not there, or not at all.
bool MapAt(char* at, uint64_t bytes, int place) {
  const long mapped =
      RawCall(SYS_mmap, at, bytes, PROT_READ | PROT_WRITE,
              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | place, -1, 0);
  return mapped == ToLong(at) &&
         RawCall(SYS_madvise, at, bytes, MADV_DONTFORK) == 0;
}

}  // namespace

char* OwnMemory::transit() const {
  const auto least = reinterpret_cast<uint64_t>(stack_end()) + kPage;
  return start_ + ((least + kAlignment - 1) / kAlignment * kAlignment -
                   reinterpret_cast<uint64_t>(start_));
}

bool OwnMemory::Map() {
  const long at = RawCall(SYS_mmap, nullptr, kBytes, PROT_NONE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at < 0) return false;
  start_ = reinterpret_cast<char*>(at);
  char* const tag = stack_end();
  const bool mapped = MapAt(start_ + kGuardBytes, kStackBytes, MAP_FIXED) &&
                      MapAt(transit(), kTransitBytes, MAP_FIXED) &&
                      RawCall(SYS_mprotect, tag, kPage, PROT_READ) == 0 &&
                      RawCall(SYS_madvise, tag, kPage, MADV_WIPEONFORK) == 0;
  if (!mapped) {
    RawCall(SYS_munmap, start_, kBytes);
    start_ = nullptr;
  }
  return mapped;
}

bool OwnMemory::MapAgain() {
  return MapAt(start_ + kGuardBytes, kStackBytes, MAP_FIXED_NOREPLACE) &&
         MapAt(transit(), kTransitBytes, MAP_FIXED_NOREPLACE);
}

void OwnMemory::Tell(Hello* hello) const {
  hello->own_start = reinterpret_cast<uint64_t>(start_);
  hello->own_end = hello->own_start + kBytes;
  hello->tag_page = reinterpret_cast<uint64_t>(stack_end());
  hello->transit = reinterpret_cast<uint64_t>(transit());
}

}  // namespace farswap::launcher

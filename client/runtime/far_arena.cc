#include "client/runtime/far_arena.h"

#include <jemalloc/jemalloc.h>
#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/units.h"

namespace farswap::runtime {
namespace {

// What experimental.arenas_create_ext takes (jemalloc 5.3), which the public
// header does not declare. jemalloc checks its size.
struct ArenaConfig {
  extent_hooks_t* hooks;
  bool metadata_use_hooks;
};

// The hooks of one arena and the range they carve. jemalloc keeps a pointer
// to it: it is first, so the hooks' address is its own.
struct Range {
  extent_hooks_t hooks{};
  char* begin = nullptr;
  size_t bytes = 0;
  std::atomic<size_t> carved{0};
};

// Extents are carved upwards; none ever comes back, since `dalloc` refuses and
// jemalloc then keeps the extent for itself.
void* Carve(extent_hooks_t* hooks, void* wanted, size_t size, size_t alignment,
            bool* zero, bool* commit, unsigned /*arena*/) {
  Range* range = reinterpret_cast<Range*>(hooks);
  size_t carved = range->carved.load(std::memory_order_relaxed);
  size_t start;
  do {
    start = AlignUp(carved, alignment);
    if (start > range->bytes || size > range->bytes - start) return nullptr;
    if (wanted != nullptr && wanted != range->begin + start) return nullptr;
  } while (!range->carved.compare_exchange_weak(carved, start + size,
                                                std::memory_order_relaxed));
  *zero = true;
  *commit = true;
  return range->begin + start;
}

// The two that say "true" to refuse, and the two that say "false" to agree.
bool RefuseDalloc(extent_hooks_t*, void*, size_t, bool, unsigned) {
  return true;
}
bool AgreeSplit(extent_hooks_t*, void*, size_t, size_t, size_t, bool,
                unsigned) {
  return false;
}
bool AgreeMerge(extent_hooks_t*, void*, size_t, void*, size_t, bool, unsigned) {
  return false;
}
// An arena that is destroyed drops its extents: the range is its owner's.
void Destroy(extent_hooks_t*, void*, size_t, bool, unsigned) {}

absl::Status Failed(const std::string& what, int error) {
  return absl::InternalError(absl::StrCat("jemalloc refuses ", what, ": ",
                                          std::strerror(error),
                                          "; version 5.3 is needed"));
}

// Freed extents are to stay as they are: purging is madvise.
absl::Status StopDecay(unsigned arena) {
  for (const char* kind : {"dirty_decay_ms", "muzzy_decay_ms"}) {
    const std::string name = absl::StrCat("arena.", arena, ".", kind);
    ssize_t never = -1;
    const int error =
        mallctl(name.c_str(), nullptr, nullptr, &never, sizeof(never));
    if (error != 0) return Failed(name, error);
  }
  return absl::OkStatus();
}

class JemallocArena final : public FarArena {
 public:
  JemallocArena(std::unique_ptr<Range> range, unsigned arena)
      : range_(std::move(range)),
        arena_(arena),
        flags_(MALLOCX_ARENA(arena) | MALLOCX_TCACHE_NONE) {}

  // jemalloc keeps the record of a destroyed arena, and its hooks' address
  // with it, for the next one; it is told new hooks then.
  ~JemallocArena() override {
    const std::string name = absl::StrCat("arena.", arena_, ".destroy");
    mallctl(name.c_str(), nullptr, nullptr, nullptr, 0);
  }

  void* Allocate(size_t bytes) override { return mallocx(bytes, flags_); }
  void* Reallocate(void* p, size_t bytes) override {
    return rallocx(p, bytes, flags_);
  }
  void Free(void* p, size_t bytes) override { sdallocx(p, bytes, flags_); }
  size_t carved_bytes() const override {
    return range_->carved.load(std::memory_order_relaxed);
  }

 private:
  const std::unique_ptr<Range> range_;
  const unsigned arena_;
  const int flags_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<FarArena>> FarArena::Create(char* address,
                                                           size_t bytes) {
  if (address == nullptr ||
      reinterpret_cast<uintptr_t>(address) % kPmdBytes != 0) {
    return absl::InvalidArgumentError("the arena's range is not 2 MiB aligned");
  }
  auto range = std::make_unique<Range>();
  range->begin = address;
  range->bytes = bytes;
  // commit, decommit and both purges stay null: jemalloc takes that as "no".
  range->hooks.alloc = Carve;
  range->hooks.dalloc = RefuseDalloc;
  range->hooks.destroy = Destroy;
  range->hooks.split = AgreeSplit;
  range->hooks.merge = AgreeMerge;

  ArenaConfig config{&range->hooks, /*metadata_use_hooks=*/false};
  unsigned arena = 0;
  size_t arena_size = sizeof(arena);
  if (const int error = mallctl("experimental.arenas_create_ext", &arena,
                                &arena_size, &config, sizeof(config));
      error != 0) {
    return Failed("a new arena", error);
  }
  auto heap = std::make_unique<JemallocArena>(std::move(range), arena);
  if (absl::Status status = StopDecay(arena); !status.ok()) return status;
  return heap;
}

}  // namespace farswap::runtime

#include <sys/mman.h>

#include <cerrno>

#include "absl/status/status.h"
#include "tests/bench/memory.h"

namespace farswap::bench {
namespace {

class PlainMemory : public Memory {
 public:
  PlainMemory(void* address, uint64_t bytes)
      : address_(address), bytes_(bytes) {}
  ~PlainMemory() override { munmap(address_, bytes_); }

  std::byte* data() override { return static_cast<std::byte*>(address_); }
  std::string StatsJson() override { return "{}"; }

 private:
  void* const address_;
  const uint64_t bytes_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Memory>> MapPlain(uint64_t bytes) {
  void* address = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (address == MAP_FAILED) return absl::ErrnoToStatus(errno, "mmap");
  return std::make_unique<PlainMemory>(address, bytes);
}

}  // namespace farswap::bench

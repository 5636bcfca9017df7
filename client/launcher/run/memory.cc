#include "client/launcher/run/memory.h"

#include <unistd.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>

namespace farswap::launcher {
namespace {

constexpr uint64_t kReserve = uint64_t{512} << 20;
constexpr uint64_t kBytesPerMs = 4'000'000;
constexpr uint64_t kMinMs = 2;
constexpr uint64_t kMaxMs = 100;

}  // namespace

uint64_t PagerThreshold(uint64_t limit) {
  const uint64_t before_full = limit > kReserve ? limit - kReserve : 0;
  return std::max(limit / 8, std::min(limit / 2, before_full));
}

std::chrono::milliseconds NextLook(uint64_t use, uint64_t threshold) {
  const uint64_t left = threshold > use ? threshold - use : 0;
  return std::chrono::milliseconds(
      std::clamp(left / kBytesPerMs, kMinMs, kMaxMs));
}

uint64_t PrivateBytes(int statm) {
  char text[128];
  const ssize_t n = pread(statm, text, sizeof(text) - 1, 0);
  if (n <= 0) return 0;
  text[n] = '\0';
  uint64_t resident = 0;
  uint64_t shared = 0;
  if (std::sscanf(text, "%*u %" SCNu64 " %" SCNu64, &resident, &shared) != 2) {
    return 0;
  }
  static const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  return resident > shared ? (resident - shared) * page : 0;
}

}  // namespace farswap::launcher

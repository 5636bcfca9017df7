#include "client/launcher/run/memory.h"

#include <algorithm>

namespace farswap::launcher {
namespace {

constexpr uint64_t kReserve = uint64_t{512} << 20;
constexpr uint64_t kFarReserve = uint64_t{256} << 20;
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

uint64_t FarThreshold(uint64_t limit) {
  return std::max(limit / 2, limit - std::min(limit, kFarReserve));
}

}  // namespace farswap::launcher

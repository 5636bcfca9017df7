#include "common/duration.h"

#include <charconv>
#include <cstdint>

#include "absl/status/status.h"

namespace farswap {
namespace {

struct Unit {
  std::string_view name;
  int64_t ms;
};
// Smallest first; each divides the next.
constexpr Unit kUnits[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}};
constexpr int64_t kMaxMs = 8760 * int64_t{3'600'000};

}  // namespace

absl::StatusOr<std::chrono::milliseconds> ParseDuration(std::string_view text) {
  int64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  const std::string_view name(rest, static_cast<size_t>(end - rest));
  for (const Unit& unit : kUnits) {
    if (error != std::errc() || value <= 0 || name != unit.name) continue;
    if (value > kMaxMs / unit.ms) {
      return absl::InvalidArgumentError("'" + std::string(text) +
                                        "' is too long: the most is 8760h");
    }
    return std::chrono::milliseconds(value * unit.ms);
  }
  return absl::InvalidArgumentError(
      "'" + std::string(text) +
      "' is not a duration: write a positive whole number and ms, s, m or h, "
      "such as 60s");
}

std::string FormatDuration(std::chrono::milliseconds duration) {
  const int64_t ms = duration.count();
  Unit best = kUnits[0];
  for (const Unit& unit : kUnits) {
    if (ms != 0 && ms % unit.ms == 0) best = unit;
  }
  return std::to_string(ms / best.ms) + std::string(best.name);
}

}  // namespace farswap

#include "common/size.h"

#include <charconv>
#include <limits>
#include <optional>

#include "absl/status/status.h"

namespace farswap {
namespace {

constexpr std::string_view kUnits = "KMGT";

absl::Status Refuse(std::string_view text, const std::string& remedy) {
  return absl::InvalidArgumentError("'" + std::string(text) + "' " + remedy);
}

// The power of two that a unit stands for.
std::optional<int> UnitShift(std::string_view unit) {
  if (unit.empty()) return 0;
  const size_t at = kUnits.find(unit[0]);
  if (at == std::string_view::npos) return std::nullopt;
  if (unit.size() != 1 && unit.substr(1) != "iB") return std::nullopt;
  return static_cast<int>(at + 1) * 10;
}

// Says what is wrong with a unit that UnitShift does not know.
absl::Status RefuseUnit(std::string_view text, std::string_view number,
                        std::string_view unit) {
  if (unit.size() == 2 && unit[1] == 'B' &&
      kUnits.find(unit[0]) != std::string_view::npos) {
    return Refuse(text, "is ambiguous: write " + std::string(number) + unit[0] +
                            "iB (a power of 1024)");
  }
  return Refuse(text,
                "has no known unit: write a whole number and K, M, G, T, KiB, "
                "MiB, GiB or TiB, such as 512MiB");
}

}  // namespace

absl::StatusOr<uint64_t> ParseSize(std::string_view text) {
  uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  if (error == std::errc::invalid_argument) {
    return Refuse(text,
                  "is not a size: write a positive whole number and a unit, "
                  "such as 512MiB");
  }
  const std::string_view unit(rest, static_cast<size_t>(end - rest));
  if (!unit.empty() && unit[0] == '.') {
    return Refuse(text,
                  "is not a whole number: use a smaller unit, such as 1536MiB "
                  "for one and a half GiB");
  }
  const std::string_view number = text.substr(0, text.size() - unit.size());
  const std::optional<int> shift = UnitShift(unit);
  if (!shift.has_value()) return RefuseUnit(text, number, unit);
  if (error == std::errc::result_out_of_range ||
      value > std::numeric_limits<uint64_t>::max() >> *shift) {
    return Refuse(text, "is too large: the most is 16777215TiB");
  }
  if (value == 0) return Refuse(text, "is nothing: write at least 1");
  return value << *shift;
}

std::string FormatSize(uint64_t bytes) {
  static constexpr std::string_view kNames[] = {"", "KiB", "MiB", "GiB", "TiB"};
  size_t unit = 0;
  while (unit + 1 < std::size(kNames) && bytes != 0 && bytes % 1024 == 0) {
    bytes /= 1024;
    ++unit;
  }
  return std::to_string(bytes) + std::string(kNames[unit]);
}

}  // namespace farswap

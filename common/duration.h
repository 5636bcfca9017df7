// Durations on command lines: a whole number with ms, s, m or h.
#ifndef FARSWAP_COMMON_DURATION_H_
#define FARSWAP_COMMON_DURATION_H_

#include <chrono>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace farswap {

// Parses "500ms", "60s", "2m", "24h": positive, at most 8760h (a year).
// INVALID_ARGUMENT in one line that says what would be right.
absl::StatusOr<std::chrono::milliseconds> ParseDuration(std::string_view text);

// The shortest text that ParseDuration reads as the same: "1500ms", "24h".
std::string FormatDuration(std::chrono::milliseconds duration);

}  // namespace farswap

#endif  // FARSWAP_COMMON_DURATION_H_

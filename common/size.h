// Sizes on command lines: a whole number with a unit, powers of 1024.
//
// "512M" and "512MiB" are the same. "512MB" is refused: to a disk's vendor it
// is 5 % less than to a kernel, and a memory limit must not be a guess.
#ifndef FARSWAP_COMMON_SIZE_H_
#define FARSWAP_COMMON_SIZE_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace farswap {

// Parses a positive whole number followed by nothing (bytes), K, M, G, T or
// KiB, MiB, GiB, TiB. INVALID_ARGUMENT in one line that says what would be
// right.
absl::StatusOr<uint64_t> ParseSize(std::string_view text);

// The shortest text that ParseSize reads as the same number: "512MiB", "1000".
std::string FormatSize(uint64_t bytes);

}  // namespace farswap

#endif  // FARSWAP_COMMON_SIZE_H_

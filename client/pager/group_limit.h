// What a memory group needs at least.
#ifndef FARSWAP_CLIENT_PAGER_GROUP_LIMIT_H_
#define FARSWAP_CLIENT_PAGER_GROUP_LIMIT_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace farswap::pager {

// Below this a group cannot hold what one fault may need beside what it is
// pushing out.
inline constexpr uint64_t kMinGroupBytes = uint64_t{8} << 20;

inline absl::Status CheckGroupLimit(uint64_t limit_bytes) {
  if (limit_bytes >= kMinGroupBytes) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("a local limit of ", limit_bytes,
                   " bytes makes no progress; give at least ",
                   kMinGroupBytes >> 20, " MiB"));
}

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_GROUP_LIMIT_H_

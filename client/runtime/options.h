// The C API's option structs: their defaults, and what is wrong with them.
#ifndef FARSWAP_CLIENT_RUNTIME_OPTIONS_H_
#define FARSWAP_CLIENT_RUNTIME_OPTIONS_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "client/runtime/farswap.h"

namespace farswap::runtime {

farswap_client_options DefaultClientOptions();
farswap_group_options DefaultGroupOptions();
farswap_region_options DefaultRegionOptions();

// The caller's options, of whatever version, complete and checked: a value
// that could not work is INVALID_ARGUMENT, in a sentence that names the field
// and says what would be right.
absl::StatusOr<farswap_client_options> ReadOptions(
    const farswap_client_options* options);
absl::StatusOr<farswap_group_options> ReadOptions(
    const farswap_group_options* options);
absl::StatusOr<farswap_region_options> ReadOptions(
    const farswap_region_options* options);

// A group's limit, checked.
absl::StatusOr<uint64_t> ReadLocalLimit(uint64_t local_limit);

}  // namespace farswap::runtime

#endif  // FARSWAP_CLIENT_RUNTIME_OPTIONS_H_

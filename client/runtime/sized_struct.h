// Structs of the C API that begin with their size, so that they can grow.
//
// A caller that was built against an older header passes a shorter struct, one
// that was built against a newer header a longer one. A field that the caller
// does not have keeps its default. A field that the library does not have must
// be zero, which means "as before": an option that cannot be honoured is an
// error, not ignored.
#ifndef FARSWAP_CLIENT_RUNTIME_SIZED_STRUCT_H_
#define FARSWAP_CLIENT_RUNTIME_SIZED_STRUCT_H_

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <string>
#include <type_traits>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

namespace farswap::runtime {

// No struct of the API will ever be longer; a `size` that was never set is
// most likely beyond it, and is not to send us reading far off.
inline constexpr size_t kMaxSizedStruct = 4096;

// The `size` of a caller's struct, checked. `name` is for the message.
template <typename T>
absl::StatusOr<size_t> CheckedSize(const T* from, const char* name) {
  static_assert(std::is_trivially_copyable_v<T> && offsetof(T, size) == 0 &&
                sizeof(T) <= kMaxSizedStruct);
  if (from == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(name, " is NULL"));
  }
  size_t size;
  std::memcpy(&size, from, sizeof(size));
  if (size < sizeof(size) || size > kMaxSizedStruct) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ".size is ", size, "; set it to sizeof(", name,
                     "), as the _init function does"));
  }
  return size;
}

// The caller's struct over the defaults.
template <typename T>
absl::StatusOr<T> ReadSized(const T* from, const T& defaults,
                            const char* name) {
  absl::StatusOr<size_t> size = CheckedSize(from, name);
  if (!size.ok()) return size.status();
  const auto* bytes = reinterpret_cast<const unsigned char*>(from);
  for (size_t i = sizeof(T); i < *size; ++i) {
    if (bytes[i] != 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          name, " sets a field at byte ", i,
          " that this library is too old to know; leave it zero or use a "
          "newer library"));
    }
  }
  T read = defaults;
  std::memcpy(&read, from, std::min(*size, sizeof(T)));
  read.size = sizeof(T);
  return read;
}

// As much of `value` as the caller's struct holds; what it has beyond is
// zeroed. Its size stays.
template <typename T>
absl::Status WriteSized(const T& value, T* to, const char* name) {
  absl::StatusOr<size_t> size = CheckedSize<T>(to, name);
  if (!size.ok()) return size.status();
  auto* bytes = reinterpret_cast<unsigned char*>(to);
  const auto* from = reinterpret_cast<const unsigned char*>(&value);
  const size_t known = std::min(*size, sizeof(T));
  std::copy(from + sizeof(size_t), from + known, bytes + sizeof(size_t));
  std::fill(bytes + known, bytes + *size, 0);
  return absl::OkStatus();
}

}  // namespace farswap::runtime

#endif  // FARSWAP_CLIENT_RUNTIME_SIZED_STRUCT_H_

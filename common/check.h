// Checks that stay in optimised builds: for what, if it were false, would
// mean wrong bytes or a structure that contradicts itself. Never for what the
// outside world can cause: that is an absl::Status.
#ifndef FARSWAP_COMMON_CHECK_H_
#define FARSWAP_COMMON_CHECK_H_

namespace farswap::internal {

// Prints one line with the place and the condition, then aborts.
[[noreturn]] void CheckFailed(const char* file, int line,
                              const char* condition);

}  // namespace farswap::internal

#define FARSWAP_CHECK(condition)                     \
  (__builtin_expect(static_cast<bool>(condition), 1) \
       ? static_cast<void>(0)                        \
       : ::farswap::internal::CheckFailed(__FILE__, __LINE__, #condition))

#endif  // FARSWAP_COMMON_CHECK_H_

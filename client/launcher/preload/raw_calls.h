// System calls without libc: no errno, which is thread-local, no cancellation,
// no symbol that a program could have replaced.
#ifndef FARSWAP_CLIENT_LAUNCHER_PRELOAD_RAW_CALLS_H_
#define FARSWAP_CLIENT_LAUNCHER_PRELOAD_RAW_CALLS_H_

#include <sys/syscall.h>

#include <cstdint>
#include <type_traits>

namespace farswap::launcher {

// A negative result is an errno, negated.
inline long RawCall6(long number, long a, long b, long c, long d, long e,
                     long f) {
  long result;
  register long r10 asm("r10") = d;
  register long r8 asm("r8") = e;
  register long r9 asm("r9") = f;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
               : "rcx", "r11", "memory");
  return result;
}

template <typename T>
long ToLong(T value) {
  if constexpr (std::is_pointer_v<T>) {
    return static_cast<long>(reinterpret_cast<intptr_t>(value));
  } else {
    return static_cast<long>(value);
  }
}
inline long ToLong(decltype(nullptr)) { return 0; }

template <typename... Args>
long RawCall(long number, Args... args) {
  static_assert(sizeof...(args) <= 6);
  const long all[6] = {ToLong(args)...};
  return RawCall6(number, all[0], all[1], all[2], all[3], all[4], all[5]);
}

}  // namespace farswap::launcher

#endif  // FARSWAP_CLIENT_LAUNCHER_PRELOAD_RAW_CALLS_H_

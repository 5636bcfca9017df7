// System calls without libc: the mover has no errno and no TLS of its own, and
// a forked child may find libc's locks held.
#ifndef FARSWAP_CLIENT_LAUNCHER_PRELOAD_RAW_CALLS_H_
#define FARSWAP_CLIENT_LAUNCHER_PRELOAD_RAW_CALLS_H_

#ifndef __x86_64__
#error "the calling convention of x86-64 is written out here"
#endif

#include <sys/syscall.h>

#include <cstddef>
#include <cstdint>

namespace farswap::launcher::preload {

template <typename T>
inline int64_t Word(T value) {
  return static_cast<int64_t>(value);
}
template <typename T>
inline int64_t Word(T* pointer) {
  return reinterpret_cast<int64_t>(pointer);
}
inline int64_t Word(std::nullptr_t) { return 0; }

inline int64_t CallWords(int64_t number, int64_t a, int64_t b, int64_t c,
                         int64_t d, int64_t e, int64_t f) {
  int64_t result = number;
  asm volatile(
      "movq %[d], %%r10\n\t"
      "movq %[e], %%r8\n\t"
      "movq %[f], %%r9\n\t"
      "syscall"
      : "+a"(result)
      : "D"(a), "S"(b), "d"(c), [d] "r"(d), [e] "r"(e), [f] "r"(f)
      : "rcx", "r8", "r9", "r10", "r11", "memory");
  return result;
}

// The result, or an errno, negative.
template <typename A = int, typename B = int, typename C = int,
          typename D = int, typename E = int, typename F = int>
inline int64_t Call(int64_t number, A a = 0, B b = 0, C c = 0, D d = 0, E e = 0,
                    F f = 0) {
  return CallWords(number, Word(a), Word(b), Word(c), Word(d), Word(e),
                   Word(f));
}

// An assignment of so much would be a call of memcpy.
inline void CopyBytes(void* to, const void* from, uint64_t bytes) {
  asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
}

// clone(2) of a thread that runs `entry(argument)`, which does not return, on
// the stack that ends at `stack_end` (16-aligned). `alive` is set to 0, and its
// futex woken, when the thread has gone.
inline int64_t CloneThread(uint64_t flags, uint64_t stack_end, uint32_t* alive,
                           void (*entry)(void*), void* argument) {
  int64_t result = SYS_clone;
  asm volatile(
      "movq %[alive], %%r10\n\t"
      "xorl %%r8d, %%r8d\n\t"
      "syscall\n\t"
      "testq %%rax, %%rax\n\t"
      "jnz 1f\n\t"
      // The new thread has the registers, and none of the caller's stack.
      "xorl %%ebp, %%ebp\n\t"
      "movq %[argument], %%rdi\n\t"
      "callq *%[entry]\n\t"
      "ud2\n"
      "1:"
      : "+a"(result)
      : "D"(flags), "S"(stack_end),
        "d"(0), [alive] "r"(alive), [entry] "r"(entry), [argument] "r"(argument)
      : "rcx", "r8", "r9", "r10", "r11", "memory");
  return result;
}

}  // namespace farswap::launcher::preload

#endif  // FARSWAP_CLIENT_LAUNCHER_PRELOAD_RAW_CALLS_H_

// Accesses that may raise SIGBUS.
#ifndef FARSWAP_TESTS_CHAOS_GUARDED_H_
#define FARSWAP_TESTS_CHAOS_GUARDED_H_

#include <setjmp.h>
#include <signal.h>

namespace farswap::chaos {

inline thread_local sigjmp_buf on_sigbus;
inline thread_local volatile sig_atomic_t guarded = 0;

// Once, before the first of them.
inline void CatchSigbus() {
  signal(SIGBUS, [](int) {
    if (guarded) siglongjmp(on_sigbus, 1);
    signal(SIGBUS, SIG_DFL);  // Nobody expects it: let it kill.
  });
}

// False if `access` raised SIGBUS.
template <typename Access>
bool Guarded(Access access) {
  volatile bool done = false;
  if (sigsetjmp(on_sigbus, 1) == 0) {
    guarded = 1;
    access();
    done = true;
  }
  guarded = 0;
  return done;
}

}  // namespace farswap::chaos

#endif  // FARSWAP_TESTS_CHAOS_GUARDED_H_

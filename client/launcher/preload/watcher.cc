#include "client/launcher/preload/watcher.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>

#include "client/launcher/preload/ending.h"
#include "client/launcher/preload/raw_calls.h"

namespace farswap::launcher::preload {
namespace {

constexpr int16_t kPeerClosed = 0x2000;  // POLLRDHUP, of _GNU_SOURCE.

// A program whose one thread ends by exit(2), not exit_group(2), would not end:
// a thread of ours is left. libc never does that, but a program under strict
// seccomp must. Nothing tells of it, so one looks: some 10 us each time, and
// more seldom the longer the program lives.
constexpr int kLookMs = 1000;
constexpr int kLookMsMax = 64000;

// Of what `text` has, the word `n` after the name in parentheses; 0: the first.
const char* WordOfStat(const char* text, int n) {
  const char* at = text;
  for (const char* c = text; *c != '\0'; ++c) {
    if (*c == ')') at = c;
  }
  for (; *at != '\0'; ++at) {
    if (*at == ' ' && n-- == 0) return at + 1;
  }
  return at;
}

int NumberAt(const char* digits) {
  int number = 0;
  for (; *digits >= '0' && *digits <= '9'; ++digits) {
    number = number * 10 + (*digits - '0');
  }
  return number;
}

// Reads /proc/self/stat; false: there is none.
bool ReadStat(char* text, uint64_t bytes) {
  const int64_t fd =
      Call(SYS_openat, AT_FDCWD, "/proc/self/stat", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const int64_t got = Call(SYS_read, fd, text, bytes - 1);
  (void)Call(SYS_close, fd);
  if (got > 0) text[got] = '\0';
  return got > 0;
}

// Ends with the program's exit code if its threads have gone, but `ours`.
void ExitIfAlone(int ours) {
  char text[1024];
  if (!ReadStat(text, sizeof(text))) return;
  constexpr int kState = 0;
  constexpr int kThreads = 17;
  constexpr int kExitCode = 49;
  if (*WordOfStat(text, kState) != 'Z') return;
  if (NumberAt(WordOfStat(text, kThreads)) != ours + 1) return;
  (void)Call(SYS_exit_group, NumberAt(WordOfStat(text, kExitCode)) >> 8);
}

// Until poll sees one of `events`, or the end. False: it may not look, as a
// program can have put all its threads under a filter (SECCOMP_FILTER_FLAG_
// TSYNC).
bool Await(const MoverState& state, int16_t events, int ours) {
  for (int wait = kLookMs;; wait = wait < kLookMsMax ? 2 * wait : wait) {
    pollfd socket = {state.socket, events, 0};
    const int64_t ready = Call(SYS_poll, &socket, 1, wait);
    if (ready > 0) return true;
    if (ready == 0) ExitIfAlone(ours);
    if (ready < 0 && ready != -EINTR) return false;
  }
}

[[noreturn]] void Watch(void* argument) {
  auto* const state = static_cast<MoverState*>(argument);
  (void)Call(SYS_prctl, PR_SET_NAME, "farswap-watch");
  // Without it the mover still sees the end, but amid a call that waits.
  if (!Await(*state, kPeerClosed, 2)) ExitThread(0);
  EndOnce(state);
}

}  // namespace

int64_t StartWatcher(MoverState* state) {
  const int64_t thread =
      CloneThread(kThreadFlags | CLONE_FILES | CLONE_FS,
                  state->served.own.watcher_stack_end, nullptr, Watch, state);
  if (thread < 0) return -thread;
  state->watched = 1;
  return 0;
}

void AwaitCommand(MoverState* state) {
  if (state->served.uffd == kNoFd) (void)Await(*state, POLLIN, 1);
}

void EndOnce(MoverState* state) {
  if (__atomic_exchange_n(&state->ending, 1, __ATOMIC_ACQ_REL) == 0) {
    EndWithSupervisor();
  }
  for (;;) (void)Call(SYS_pause);
}

}  // namespace farswap::launcher::preload

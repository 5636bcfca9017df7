#include "client/launcher/preload/mover.h"

#include <errno.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "client/launcher/preload/connection.h"
#include "client/launcher/preload/mover_state.h"
#include "client/launcher/preload/privileges.h"
#include "client/launcher/preload/raw_calls.h"
#include "client/launcher/preload/watcher.h"
#include "client/launcher/process_wire.h"

namespace farswap::launcher::preload {
namespace {

constexpr uint64_t kAlignment = 64;

// As the kernel's own wake of a thread's end is, both are not "private".
constexpr int kFutexWait = 0;
constexpr int kFutexWake = 1;

void Progress(MoverState* state, uint32_t progress) {
  __atomic_store_n(&state->progress, progress, __ATOMIC_RELEASE);
  (void)Call(SYS_futex, &state->progress, kFutexWake, 1);
}

int64_t SayHello(const MoverState& state) {
  const OwnMemory& own = state.served.own;
  Hello hello;
  hello.mover = static_cast<uint32_t>(Call(SYS_gettid));
  CopyBytes(hello.secret, state.supervisor.secret, kSecretBytes);
  hello.tag = state.tag;
  hello.transit = own.transit;
  hello.tag_page = own.tag_page;
  hello.own_start = own.start;
  hello.own_end = own.end;
  return SendPacket(state.socket, &hello, sizeof(hello), kNoFd) ? 0 : EPIPE;
}

// Gives this thread a table of no descriptors. That the program's is copied
// first, which clone(2) would do, is not needed then.
int64_t LeaveDescriptors() {
  constexpr unsigned kUnshare = 1U << 1;  // CLOSE_RANGE_UNSHARE.
  return -Call(SYS_close_range, 0, ~0U, kUnshare);
}

// An errno, or 0.
int64_t SetUp(MoverState* state) {
  (void)Call(SYS_prctl, PR_SET_NAME, "farswap-mover");
  const int64_t error = LeaveDescriptors();
  if (error != 0) return error;
  // The folder of the program would count as in use.
  (void)Call(SYS_chdir, "/");
  // Before the ids go: it says whose the process is.
  const int64_t socket = ConnectTo(state->supervisor);
  if (socket < 0) return -socket;
  state->socket = static_cast<int>(socket);
  DropPrivileges();
  return SayHello(*state);
}

// From the first userfaultfd on something may be remote, and calls may wait.
void GuardUffd(MoverState* state, Reply* reply, int* give) {
  if (state->watched != 0 || state->served.uffd == kNoFd) return;
  reply->error = static_cast<int32_t>(StartWatcher(state));
  if (reply->error == 0) return;
  (void)Call(SYS_close, state->served.uffd);
  state->served.uffd = kNoFd;
  *give = kNoFd;
}

[[noreturn]] void Serve(MoverState* state) {
  Received received;
  Reply reply;
  int give = kNoFd;
  for (;;) {
    AwaitCommand(state);
    if (!ReceiveCommand(state->socket, &received)) EndOnce(state);
    Execute(received, &state->served, &reply, &give);
    GuardUffd(state, &reply, &give);
    if (!SendPacket(state->socket, &reply, sizeof(reply), give)) {
      EndOnce(state);
    }
    if (state->served.uffd != kNoFd && state->progress != kHasUffd) {
      Progress(state, kHasUffd);
    }
  }
}

[[noreturn]] void Run(void* argument) {
  auto* const state = static_cast<MoverState*>(argument);
  const int64_t error = SetUp(state);
  if (error != 0) {
    state->error = static_cast<int32_t>(error);
    ExitThread(0);
  }
  Progress(state, kSaidHello);
  Serve(state);
}

MoverState* MakeState(const OwnMemory& own, const Supervisor& supervisor,
                      uint64_t tag, uint32_t* paged) {
  const uint64_t at =
      (own.mover_stack_end - sizeof(MoverState)) & ~(kAlignment - 1);
  auto* const state = reinterpret_cast<MoverState*>(at);
  CopyBytes(&state->supervisor, &supervisor, sizeof(supervisor));
  state->served = {own, kNoFd, paged};
  state->tag = tag;
  state->socket = kNoFd;
  state->progress = kStarting;
  // What a seccomp filter does to a thread leaves no other trace.
  state->error = ESRCH;
  state->watched = 0;
  state->ending = 0;
  return state;
}

// The thread inherits what is blocked: no handler of the program's runs on it.
// All, those that libc keeps for itself too.
int64_t CloneMover(MoverState* state) {
  constexpr int kSetMask = 2;
  const uint64_t all = ~uint64_t{0};
  uint64_t before = 0;
  (void)Call(SYS_rt_sigprocmask, kSetMask, &all, &before, sizeof(all));
  const int64_t thread = CloneThread(
      kThreadFlags | CLONE_FILES | CLONE_CHILD_CLEARTID,
      reinterpret_cast<uint64_t>(state), &state->progress, Run, state);
  (void)Call(SYS_rt_sigprocmask, kSetMask, &before, nullptr, sizeof(before));
  return thread < 0 ? -thread : 0;
}

// Until the mover is that far, or has gone: an errno, or 0.
int64_t AwaitProgress(const MoverState& state, uint32_t wanted) {
  for (;;) {
    const uint32_t now = __atomic_load_n(&state.progress, __ATOMIC_ACQUIRE);
    if (now >= wanted) return 0;
    if (now == kGone) return state.error;
    (void)Call(SYS_futex, &state.progress, kFutexWait, now, nullptr);
  }
}

}  // namespace

int64_t StartMover(const OwnMemory& own, const Supervisor& supervisor,
                   uint64_t tag, uint32_t* paged) {
  MoverState* const state = MakeState(own, supervisor, tag, paged);
  const int64_t error = CloneMover(state);
  if (error != 0) return error;
  return AwaitProgress(*state, tag == 0 ? kSaidHello : kHasUffd);
}

}  // namespace farswap::launcher::preload

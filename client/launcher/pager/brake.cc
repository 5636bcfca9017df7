#include "client/launcher/pager/brake.h"

#include <errno.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include <optional>

#include "client/launcher/process/threads.h"
#include "client/launcher/run/proc.h"

namespace farswap::launcher {
namespace {

// What the preload library calls its threads.
constexpr char kOurs[] = "farswap-";

bool RunsForTheProgram(pid_t thread) {
  const std::optional<ProcStat> stat = ReadStat(thread);
  return stat.has_value() && stat->state == 'R' &&
         !stat->name.starts_with(kOurs);
}

}  // namespace

void Brake::Stop(pid_t pid) {
  for (const pid_t tid : ThreadsOf(pid)) {
    if (!RunsForTheProgram(tid)) continue;
    if (ptrace(PTRACE_SEIZE, tid, nullptr, nullptr) != 0) continue;
    (void)ptrace(PTRACE_INTERRUPT, tid, nullptr, nullptr);
    held_.push_back({tid, pid});
  }
}

void Brake::Release() {
  std::erase_if(held_, [](Thread& thread) { return LetGo(&thread); });
}

bool Brake::LetGo(Thread* thread) {
  int status = 0;
  const pid_t found =
      waitpid(thread->tid, &status, WNOHANG | __WALL | __WNOTHREAD);
  if (found == 0) return false;
  if (found < 0) {
    if (errno != ECHILD || thread->tid == thread->pid) return true;
    // It has ended, or called exec.
    thread->tid = thread->pid;
    return LetGo(thread);
  }
  if (!WIFSTOPPED(status)) return true;
  // A signal that it was about to get it gets now.
  const bool by_signal = (status >> 16) == 0;
  const auto signal = static_cast<uintptr_t>(by_signal ? WSTOPSIG(status) : 0);
  (void)ptrace(PTRACE_DETACH, thread->tid, nullptr,
               reinterpret_cast<void*>(signal));
  return true;
}

}  // namespace farswap::launcher

#include "client/launcher/pager/brake.h"

#include <dirent.h>
#include <errno.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>

namespace farswap::launcher {
namespace {

// What the preload library calls its threads.
constexpr char kOurs[] = "farswap-";

// Whether /proc/PID/task/TID/stat, "TID (NAME) STATE ...", is of a thread of
// the program's that runs.
bool RunsForTheProgram(const std::string& folder) {
  std::ifstream file(folder + "/stat");
  std::string stat;
  std::getline(file, stat);
  const size_t name = stat.find('(');
  const size_t end = stat.rfind(')');
  if (name == std::string::npos || end == std::string::npos) return false;
  return stat.compare(end, 3, ") R") == 0 &&
         stat.compare(name + 1, sizeof(kOurs) - 1, kOurs) != 0;
}

}  // namespace

void Brake::Stop(pid_t pid) {
  const std::string path = "/proc/" + std::to_string(pid) + "/task";
  const std::unique_ptr<DIR, int (*)(DIR*)> tasks(opendir(path.c_str()),
                                                  closedir);
  if (tasks == nullptr) return;
  while (const dirent* const task = readdir(tasks.get())) {
    const pid_t tid = std::atoi(task->d_name);
    if (tid <= 0 || !RunsForTheProgram(path + "/" + task->d_name)) continue;
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

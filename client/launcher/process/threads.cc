#include "client/launcher/process/threads.h"

#include <dirent.h>

#include <cstdlib>
#include <string>

namespace farswap::launcher {

std::vector<pid_t> ThreadsOf(pid_t pid) {
  std::vector<pid_t> threads;
  DIR* const tasks =
      opendir(("/proc/" + std::to_string(pid) + "/task").c_str());
  if (tasks == nullptr) return threads;
  while (const dirent* const task = readdir(tasks)) {
    const pid_t tid = std::atoi(task->d_name);
    if (tid > 0) threads.push_back(tid);
  }
  closedir(tasks);
  return threads;
}

}  // namespace farswap::launcher

#include "client/launcher/process/mover_thread.h"

#include <unistd.h>

#include <string>

#include "client/launcher/process/priority.h"

namespace farswap::launcher {

pid_t MoverThread(pid_t pid, const Hello& hello) {
  const auto mover = static_cast<pid_t>(hello.mover);
  const std::string path =
      "/proc/" + std::to_string(pid) + "/task/" + std::to_string(mover);
  if (access(path.c_str(), F_OK) != 0) return pid;
  GoFirst(mover);
  return mover;
}

}  // namespace farswap::launcher

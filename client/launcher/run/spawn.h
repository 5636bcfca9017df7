// fork and exec.
#ifndef FARSWAP_CLIENT_LAUNCHER_RUN_SPAWN_H_
#define FARSWAP_CLIENT_LAUNCHER_RUN_SPAWN_H_

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

namespace farswap::launcher {

struct Program {
  std::string path;
  // With the name that it is called by.
  std::vector<std::string> arguments;
  // NAME=VALUE.
  std::vector<std::string> environment;
};

// The environment of this process without the variables `names`.
std::vector<std::string> EnvironmentWithout(
    const std::vector<std::string>& names);

// `prepare` runs in the child, which shares our memory and nothing else, while
// we wait: system calls only. All signals are blocked until it lets them.
// Returns when the program has been executed: its pid; or -1 and errno, of
// what could not be done.
pid_t Spawn(const Program& program, const std::function<void()>& prepare);

}  // namespace farswap::launcher

#endif  // FARSWAP_CLIENT_LAUNCHER_RUN_SPAWN_H_

#include "client/launcher/run/spawn.h"

#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>

namespace farswap::launcher {
namespace {

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (const std::string& string : strings) {
    pointers.push_back(const_cast<char*>(string.c_str()));
  }
  pointers.push_back(nullptr);
  return pointers;
}

// What the child does, on the stack that is for it.
constexpr size_t kStackBytes = size_t{64} << 10;

struct Work {
  const Program* program;
  char* const* arguments;
  char* const* environment;
  const std::function<void()>* prepare;
  int error = 0;
};

int Execute(void* argument) {
  auto* work = static_cast<Work*>(argument);
  (*work->prepare)();
  execve(work->program->path.c_str(), work->arguments, work->environment);
  work->error = errno;
  _exit(127);
}

}  // namespace

std::vector<std::string> EnvironmentWithout(
    const std::vector<std::string>& names) {
  std::vector<std::string> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    const std::string name = text.substr(0, text.find('='));
    if (std::find(names.begin(), names.end(), name) == names.end()) {
      environment.push_back(text);
    }
  }
  return environment;
}

pid_t Spawn(const Program& program, const std::function<void()>& prepare) {
  const std::vector<char*> arguments = Pointers(program.arguments);
  const std::vector<char*> environment = Pointers(program.environment);
  Work work{&program, arguments.data(), environment.data(), &prepare};
  alignas(16) static char stack[kStackBytes];
  // As vfork: a copy of our memory that is not made is a millisecond, and
  // what the child leaves in `work` is seen here.
  const pid_t pid = clone(Execute, stack + kStackBytes,
                          CLONE_VM | CLONE_VFORK | SIGCHLD, &work);
  if (pid < 0 || work.error == 0) return pid;
  while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  errno = work.error;
  return -1;
}

}  // namespace farswap::launcher

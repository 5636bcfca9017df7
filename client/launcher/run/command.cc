#include "client/launcher/run/command.h"

#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>

#include "client/launcher/process_wire.h"
#include "client/launcher/run/proc.h"
#include "client/launcher/run/spawn.h"

namespace farswap::launcher {
namespace {

constexpr char kShell[] = "/bin/sh";

// Sent by the kernel to this process, and to no other: a hangup to the leader
// of a session; an alarm that was set before farswap-run was executed.
bool IsOurAlone(const signalfd_siginfo& signal) {
  if (signal.ssi_signo == SIGALRM) return true;
  return signal.ssi_signo == SIGHUP && getsid(0) == getpid();
}

}  // namespace

std::vector<std::string> CommandEnvironment(const std::string& preload,
                                            const std::string& variable) {
  std::vector<std::string> environment =
      EnvironmentWithout({kRunVariable, "LD_PRELOAD"});
  const char* others = std::getenv("LD_PRELOAD");
  const bool more = others != nullptr && *others != '\0';
  environment.push_back("LD_PRELOAD=" + preload +
                        (more ? std::string(":") + others : ""));
  environment.push_back(std::string(kRunVariable) + "=" + variable);
  return environment;
}

pid_t StartCommand(const std::string& path,
                   const std::vector<std::string>& command,
                   const std::vector<std::string>& environment,
                   const Signals& signals) {
  const auto prepare = [&signals] { signals.Restore(); };
  const pid_t pid = Spawn({path, command, environment}, prepare);
  if (pid > 0 || errno != ENOEXEC) return pid;
  std::vector<std::string> script = {kShell, path};
  script.insert(script.end(), command.begin() + 1, command.end());
  return Spawn({kShell, script, environment}, prepare);
}

bool IsForCommand(const signalfd_siginfo& signal) {
  if (signal.ssi_signo == SIGCHLD) return false;
  if (signal.ssi_code > 0) return IsOurAlone(signal);
  const auto sender = static_cast<pid_t>(signal.ssi_pid);
  // From ourselves: SIGPIPE, of a line that nobody reads.
  return sender != getpid() && !IsDescendant(sender, getpid(), 0);
}

int ExitOfExecError(int error) {
  return error == ENOENT || error == ENOTDIR ? 127 : 126;
}

}  // namespace farswap::launcher

// COMMAND: how it is started, and which signals are passed on to it.
#ifndef FARSWAP_CLIENT_LAUNCHER_RUN_COMMAND_H_
#define FARSWAP_CLIENT_LAUNCHER_RUN_COMMAND_H_

#include <sys/signalfd.h>
#include <sys/types.h>

#include <string>
#include <vector>

#include "client/launcher/run/signals.h"

namespace farswap::launcher {

// The environment of this process, with the preload library first in
// LD_PRELOAD and FARSWAP_RUN=`variable`.
std::vector<std::string> CommandEnvironment(const std::string& preload,
                                            const std::string& variable);

// Executes `path` as `command` (argv) in a child that has nothing of ours: our
// signal mask, our descriptors. A file that is no program is a script of
// /bin/sh, as for execvp(3). -1 and errno if it cannot be executed.
pid_t StartCommand(const std::string& path,
                   const std::vector<std::string>& command,
                   const std::vector<std::string>& environment,
                   const Signals& signals);

// Whether a signal that came to this process is to be passed on. What a
// terminal sends goes to the whole process group, the command in it; so
// mostly does what the programs send themselves (kill 0).
bool IsForCommand(const signalfd_siginfo& signal);

// What a shell ends with if a program cannot be executed for `error`.
int ExitOfExecError(int error);

}  // namespace farswap::launcher

#endif  // FARSWAP_CLIENT_LAUNCHER_RUN_COMMAND_H_

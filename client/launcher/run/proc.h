// What /proc says of the processes of the tree.
#ifndef FARSWAP_CLIENT_LAUNCHER_RUN_PROC_H_
#define FARSWAP_CLIENT_LAUNCHER_RUN_PROC_H_

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "client/launcher/run/elf.h"
#include "client/launcher/run/fd.h"

namespace farswap::launcher {

struct ProcStat {
  std::string name;
  char state = '?';
  pid_t parent = 0;
  uint64_t start = 0;  // Ticks since boot; with the pid, it names a process.

  bool ended() const { return state == 'Z' || state == 'X'; }
};

std::optional<ProcStat> ReadStat(pid_t pid);

// All below `root`, but not `except` (0: none) and what is below that.
std::vector<pid_t> Descendants(pid_t root, pid_t except);

// Whether it is below `root` now, and not below `except`, nor that.
bool IsDescendant(pid_t pid, pid_t root, pid_t except);

// Whether the process has the preload library's thread.
bool HasMover(pid_t pid);

// Whether both have one memory: a child by vfork that executes nothing.
bool SharesMemory(pid_t pid, pid_t other);

// Whose process it is, and what it was executed with, as far as that can be
// read.
RealIds ReadRealIds(pid_t pid);
// NUL after each NAME=VALUE.
std::string ReadEnvironment(pid_t pid);

// Of a process that is a child of ours, or whose descriptor `pidfd` is.
Fd OpenPidfd(pid_t pid);
void KillPidfd(const Fd& pidfd);

// SIGKILL to a descendant. By a descriptor that is opened before it is looked
// up that the process is one: so its number cannot have become another's.
void KillDescendant(pid_t pid, pid_t root, pid_t except);

}  // namespace farswap::launcher

#endif  // FARSWAP_CLIENT_LAUNCHER_RUN_PROC_H_

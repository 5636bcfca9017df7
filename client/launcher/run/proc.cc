#include "client/launcher/run/proc.h"

#include <fcntl.h>
#include <linux/kcmp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "client/launcher/process/threads.h"

namespace farswap::launcher {
namespace {

// The mover's name, of at most 15 characters.
constexpr char kMoverName[] = "farswap-mover";
// A tree this deep or wide ends before we do.
constexpr int kMaxDepth = 1 << 16;
constexpr size_t kMaxEnvironment = size_t{4} << 20;

std::string PathOf(pid_t pid, const std::string& file) {
  return "/proc/" + std::to_string(pid) + "/" + file;
}

std::string PathOfThread(pid_t pid, pid_t tid, const std::string& file) {
  return PathOf(pid, "task/" + std::to_string(tid) + "/" + file);
}

std::string Read(const std::string& path, size_t most) {
  std::string text;
  const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  char part[4096];
  while (fd.valid() && text.size() < most) {
    const ssize_t n = read(fd.get(), part, sizeof(part));
    if (n <= 0) break;
    text.append(part, static_cast<size_t>(n));
  }
  return text;
}

// Appends the children of all threads of `pid` but `except`.
void AddChildren(pid_t pid, pid_t except, std::vector<pid_t>* found) {
  for (const pid_t tid : ThreadsOf(pid)) {
    const std::string text =
        Read(PathOfThread(pid, tid, "children"), kMaxEnvironment);
    const char* at = text.c_str();
    char* end = nullptr;
    for (;;) {
      const auto child = static_cast<pid_t>(std::strtol(at, &end, 10));
      if (end == at) break;
      if (child != except) found->push_back(child);
      at = end;
    }
  }
}

}  // namespace

std::optional<ProcStat> ReadStat(pid_t pid) {
  const std::string text = Read(PathOf(pid, "stat"), 4096);
  // The name is in parentheses, and may have some.
  const size_t open = text.find('(');
  const size_t close = text.rfind(')');
  if (open == std::string::npos || close == std::string::npos) {
    return std::nullopt;
  }
  ProcStat stat;
  stat.name = text.substr(open + 1, close - open - 1);
  unsigned long long start = 0;  // NOLINT(google-runtime-int): as scanf's.
  // After the parent, fields 5 to 21 are not of interest.
  const int fields = std::sscanf(
      text.c_str() + close + 1,
      " %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d "
      "%*d %llu",
      &stat.state, &stat.parent, &start);
  if (fields != 3) return std::nullopt;
  stat.start = start;
  return stat;
}

std::vector<pid_t> Descendants(pid_t root, pid_t except) {
  std::vector<pid_t> found;
  AddChildren(root, except, &found);
  for (size_t i = 0; i < found.size() && i < kMaxDepth; ++i) {
    AddChildren(found[i], except, &found);
  }
  return found;
}

bool IsDescendant(pid_t pid, pid_t root, pid_t except) {
  for (int depth = 0; depth < kMaxDepth && pid > 1; ++depth) {
    if (pid == except) return false;
    const std::optional<ProcStat> stat = ReadStat(pid);
    if (!stat.has_value()) return false;
    pid = stat->parent;
    if (pid == root) return true;
  }
  return false;
}

bool HasMover(pid_t pid) {
  const std::vector<pid_t> threads = ThreadsOf(pid);
  return std::any_of(threads.begin(), threads.end(), [pid](pid_t tid) {
    return Read(PathOfThread(pid, tid, "comm"), 64) ==
           std::string(kMoverName) + "\n";
  });
}

bool SharesMemory(pid_t pid, pid_t other) {
  return syscall(SYS_kcmp, pid, other, KCMP_VM, 0, 0) == 0;
}

RealIds ReadRealIds(pid_t pid) {
  RealIds ids;
  std::ifstream file(PathOf(pid, "status"));
  for (std::string line; std::getline(file, line);) {
    std::sscanf(line.c_str(), "Uid:\t%u", &ids.user);
    std::sscanf(line.c_str(), "Gid:\t%u", &ids.group);
  }
  return ids;
}

std::string ReadEnvironment(pid_t pid) {
  return Read(PathOf(pid, "environ"), kMaxEnvironment);
}

Fd OpenPidfd(pid_t pid) {
  return Fd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
}

void KillPidfd(const Fd& pidfd) {
  if (!pidfd.valid()) return;
  syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0);
}

void KillDescendant(pid_t pid, pid_t root, pid_t except) {
  const Fd pidfd = OpenPidfd(pid);
  if (IsDescendant(pid, root, except)) KillPidfd(pidfd);
}

}  // namespace farswap::launcher

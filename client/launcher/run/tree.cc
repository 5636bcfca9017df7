#include "client/launcher/run/tree.h"

#include <fcntl.h>

#include <algorithm>
#include <string>
#include <utility>

#include "client/launcher/process/private_bytes.h"

namespace farswap::launcher {

uint64_t Tree::Add(uint64_t id, Fd socket, pid_t pid) {
  Process process;
  process.socket = std::move(socket);
  process.pid = pid;
  processes_.emplace(id, std::move(process));
  if (++unreported_ <= kMaxUnreported) return 0;
  const auto oldest =
      std::find_if(processes_.begin(), processes_.end(),
                   [](const auto& entry) { return !entry.second.reported; });
  return oldest->first;
}

Process* Tree::Find(uint64_t id) {
  const auto found = processes_.find(id);
  return found == processes_.end() ? nullptr : &found->second;
}

bool Tree::Report(Process* process, const Hello& hello) {
  const std::string path = "/proc/" + std::to_string(process->pid) + "/statm";
  // Whose the number is: if not the process's any more, its connection has
  // ended, too, and it is removed for that next.
  process->statm = Fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  process->hello = hello;
  process->reported = true;
  --unreported_;
  return process->statm.valid();
}

Process Tree::Remove(uint64_t id) {
  const auto found = processes_.find(id);
  if (found == processes_.end()) return {};
  Process process = std::move(found->second);
  if (!process.reported) --unreported_;
  processes_.erase(found);
  return process;
}

std::vector<uint64_t> Tree::Reported() const {
  std::vector<uint64_t> ids;
  for (const auto& [id, process] : processes_) {
    if (process.reported) ids.push_back(id);
  }
  return ids;
}

bool Tree::Knows(pid_t pid) const {
  return std::any_of(processes_.begin(), processes_.end(),
                     [pid](const auto& entry) {
                       return entry.second.reported && entry.second.pid == pid;
                     });
}

uint64_t Tree::PrivateBytes() const {
  uint64_t bytes = 0;
  for (const auto& [id, process] : processes_) {
    if (process.statm.valid()) {
      bytes += launcher::PrivateBytes(process.statm.get());
    }
  }
  return bytes;
}

}  // namespace farswap::launcher

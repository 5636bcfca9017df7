#include "client/launcher/run/local_memory.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>

namespace farswap::launcher {
namespace {

constexpr char kMount[] = "/sys/fs/cgroup";

uint64_t PhysicalMemory() {
  return static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) *
         static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

// Of the line "0::PATH", which is version 2's.
std::string OwnCgroup() {
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("0::", 0) == 0) return line.substr(3);
  }
  return "/";
}

}  // namespace

uint64_t CgroupLimit(const std::string& mount, const std::string& path) {
  uint64_t least = UINT64_MAX;
  for (std::string at = path;; at.erase(at.rfind('/'))) {
    std::ifstream file(mount + at + "/memory.max");
    // "max" is no number.
    if (uint64_t bytes = 0; file >> bytes) least = std::min(least, bytes);
    if (at.find('/') == std::string::npos) return least;
  }
}

uint64_t DefaultLocalMemory() {
  return std::min(PhysicalMemory(), CgroupLimit(kMount, OwnCgroup())) / 2;
}

}  // namespace farswap::launcher

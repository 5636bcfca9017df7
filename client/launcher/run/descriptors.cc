#include "client/launcher/run/descriptors.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>

#include <cstdlib>
#include <vector>

#include "client/launcher/run/fd.h"

namespace farswap::launcher {
namespace {

std::vector<int> OpenDescriptors() {
  std::vector<int> fds;
  DIR* directory = opendir("/proc/self/fd");
  if (directory == nullptr) return fds;
  while (const dirent* entry = readdir(directory)) {
    if (entry->d_name[0] != '.') fds.push_back(std::atoi(entry->d_name));
  }
  closedir(directory);
  return fds;
}

}  // namespace

void FillStandardStreams() {
  for (int fd = 0; fd <= STDERR_FILENO; ++fd) {
    // The lowest that is free is this one.
    if (fcntl(fd, F_GETFD) < 0) open("/dev/null", O_RDWR | O_CLOEXEC);
  }
}

void DropInherited() {
  for (const int fd : OpenDescriptors()) {
    const int flags = fcntl(fd, F_GETFD);
    if (fd > STDERR_FILENO && flags >= 0 && (flags & FD_CLOEXEC) == 0) {
      close(fd);
    }
  }
  const Fd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null.valid()) return;
  dup3(null.get(), STDIN_FILENO, O_CLOEXEC);
  dup3(null.get(), STDOUT_FILENO, O_CLOEXEC);
}

void RaiseDescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace farswap::launcher

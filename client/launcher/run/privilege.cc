#include "client/launcher/run/privilege.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "client/launcher/run/fd.h"

namespace farswap::launcher {
namespace {

constexpr char kDevice[] = "/dev/userfaultfd";

bool HasPtrace() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
  if (syscall(SYS_capget, &header, data) != 0) return false;
  return (data[CAP_TO_INDEX(CAP_SYS_PTRACE)].effective &
          CAP_TO_MASK(CAP_SYS_PTRACE)) != 0;
}

}  // namespace

std::string MissingPrivilege() {
  if (!HasPtrace()) {
    return "it takes CAP_SYS_PTRACE to page for other processes; run it as "
           "root, or in a container with that capability";
  }
  const Fd device(open(kDevice, O_RDWR | O_CLOEXEC));
  if (device.valid()) return "";
  const int error = errno;
  return std::string("cannot open ") + kDevice + ": " + std::strerror(error) +
         "; run it as root on Linux 6.8 or newer, in a container with that "
         "device";
}

}  // namespace farswap::launcher

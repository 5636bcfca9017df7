// What kind of program a file is: whether the preload library gets into it.
#ifndef FARSWAP_CLIENT_LAUNCHER_RUN_ELF_H_
#define FARSWAP_CLIENT_LAUNCHER_RUN_ELF_H_

#include <sys/types.h>

#include <string>

namespace farswap::launcher {

// Who executes it, as the bits for setuid compare with.
struct RealIds {
  uid_t user = 0;
  gid_t group = 0;
};

// Why the loader will not put the preload library into the program that is
// open as `fd`: "static", "setuid", ... ; "" if it will, or if the file is no
// program (exec says so). Of a script, the interpreter is what matters.
std::string WhyNotPreloaded(int fd, const RealIds& ids);
std::string WhyNotPreloaded(const std::string& path, const RealIds& ids);

}  // namespace farswap::launcher

#endif  // FARSWAP_CLIENT_LAUNCHER_RUN_ELF_H_

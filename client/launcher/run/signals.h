// The signals of farswap-run: read one by one, not delivered.
#ifndef FARSWAP_CLIENT_LAUNCHER_RUN_SIGNALS_H_
#define FARSWAP_CLIENT_LAUNCHER_RUN_SIGNALS_H_

#include <sys/signalfd.h>

#include <csignal>
#include <optional>

#include "client/launcher/run/fd.h"

namespace farswap::launcher {

class Signals {
 public:
  // Blocks them all, but for those that mean a fault of our own. One object,
  // before anything is started.
  Signals();

  // To poll.
  int fd() const { return fd_.get(); }
  std::optional<signalfd_siginfo> Next();

  // In a child, before it executes something: as farswap-run found them. Only
  // system calls.
  void Restore() const;
  // The same for what is not the command: none blocked, none ignored.
  static void RestoreDefaults();

 private:
  Fd fd_;
  sigset_t mask_;
  struct sigaction child_;
};

// Stops this process by `signal`, which stopped `command`, so that who waits
// for us sees it as if it waited for the command. Returns when we are
// continued; at once if the command has been in the meantime.
void StopLike(pid_t command, int signal);

// Ends this process by `signal`, without a core dump.
[[noreturn]] void DieLike(int signal);

}  // namespace farswap::launcher

#endif  // FARSWAP_CLIENT_LAUNCHER_RUN_SIGNALS_H_

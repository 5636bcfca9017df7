// Where the processes of the tree report in.
#ifndef FARSWAP_CLIENT_LAUNCHER_RUN_RENDEZVOUS_H_
#define FARSWAP_CLIENT_LAUNCHER_RUN_RENDEZVOUS_H_

#include <sys/types.h>

#include <optional>
#include <string>

#include "client/launcher/process_wire.h"
#include "client/launcher/run/fd.h"

namespace farswap::launcher {

class Rendezvous {
 public:
  // Nothing, with errno, if the system has no socket for us.
  static std::optional<Rendezvous> Create();

  // The value of $FARSWAP_RUN.
  std::string Variable() const;
  const uint8_t* secret() const { return secret_; }
  // Invalid after Take.
  int fd() const { return fd_.get(); }

  // A process that has connected, not blocking; invalid, with errno, if there
  // is none.
  Fd Accept();

  // It is the pager's from now on.
  Fd Take() { return std::move(fd_); }

  enum class Read { kHello, kNothingYet, kWrong, kEnded };
  // Reads what a process says first. kWrong: of another version, or it does
  // not know the secret.
  Read ReadHello(int fd, Hello* hello) const;

 private:
  Rendezvous() = default;

  Fd fd_;
  std::string name_;
  uint8_t secret_[kSecretBytes] = {};
};

// Who connected; 0 if it cannot be seen from here.
pid_t PeerPid(int fd);
// A pidfd of that process, whoever has its number now. Invalid if it has
// ended.
Fd PeerPidfd(int fd);

}  // namespace farswap::launcher

#endif  // FARSWAP_CLIENT_LAUNCHER_RUN_RENDEZVOUS_H_

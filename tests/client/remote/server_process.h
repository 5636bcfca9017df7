// A real farswap-server as a child of the test, on a pool file that survives
// it. Killed, and its files removed, at the end.
#ifndef FARSWAP_TESTS_CLIENT_REMOTE_SERVER_PROCESS_H_
#define FARSWAP_TESTS_CLIENT_REMOTE_SERVER_PROCESS_H_

#include <sys/types.h>

#include <string>

namespace farswap::remote {

class ServerProcess {
 public:
  // Makes a directory; Start starts a server. `unix_socket`: it listens there
  // rather than at a TCP port.
  explicit ServerProcess(bool unix_socket);
  ~ServerProcess();
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  // Starts it and waits until it serves; at the address it had before, if it
  // had one. False, with its log on stderr, if it does not.
  bool Start();
  // SIGSTOP, and waits until it has stopped; SIGCONT.
  void Stop() const;
  void Continue() const;
  // kill -9, and waits for the end.
  void Kill();
  // As if the pool's memory had been lost.
  void RemovePool() const;

  const std::string& address() const { return address_; }

 private:
  const std::string directory_;
  const bool unix_socket_;
  std::string address_;
  pid_t pid_ = -1;
};

}  // namespace farswap::remote

#endif  // FARSWAP_TESTS_CLIENT_REMOTE_SERVER_PROCESS_H_

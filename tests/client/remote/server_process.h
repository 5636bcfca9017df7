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
  // rather than at a TCP port. `capacity`: of its pool.
  explicit ServerProcess(bool unix_socket, std::string capacity = "64MiB");
  ~ServerProcess();
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  // Starts it and waits until it serves, at most a minute; at the address it
  // had before, if it had one. False, with its log on stderr, if it does not.
  // It ends when the thread that started it does.
  bool Start();
  // SIGSTOP, and waits until it has stopped; SIGCONT.
  void Stop() const;
  void Continue() const;
  // kill -9, and waits for the end.
  void Kill();
  // SIGTERM, and waits for the end, at most a minute. Whether it was clean.
  bool Terminate();
  // As if the pool's memory had been lost.
  void RemovePool() const;

  const std::string& address() const { return address_; }
  std::string pool() const { return directory_ + "/pool"; }
  // Whether it said, at its last start, that what it had before continues.
  bool Continues() const;

 private:
  std::string log() const { return directory_ + "/log"; }

  const std::string directory_;
  const bool unix_socket_;
  const std::string capacity_;
  std::string address_;
  pid_t pid_ = -1;
};

}  // namespace farswap::remote

#endif  // FARSWAP_TESTS_CLIENT_REMOTE_SERVER_PROCESS_H_

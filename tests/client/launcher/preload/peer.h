// The supervisor's side, as a test plays it.
#ifndef FARSWAP_TESTS_CLIENT_LAUNCHER_PRELOAD_PEER_H_
#define FARSWAP_TESTS_CLIENT_LAUNCHER_PRELOAD_PEER_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "client/launcher/process_wire.h"

namespace farswap::launcher {

inline constexpr uint64_t kPage = 4096;

// A connected process.
class Peer {
 public:
  Peer(int socket, pid_t pid, const Hello& hello)
      : socket_(socket), pid_(pid), hello_(hello) {}
  ~Peer() { Close(); }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  pid_t pid() const { return pid_; }
  const Hello& hello() const { return hello_; }
  void Close();
  bool Send(const void* data, size_t bytes, int fd = -1) const;
  // nullopt: not within 20 s. `fd`: what came with it, or -1.
  std::optional<Reply> Receive(int* fd = nullptr) const;
  // The answer's error, or -1: none came.
  int Ask(Op op, uint64_t to = 0, uint64_t from = 0, uint64_t bytes = 0,
          int fd = -1) const;
  // Has it make a userfaultfd, with features and events; -1: no.
  int MakeUffd() const;

 private:
  int socket_;
  pid_t pid_;
  Hello hello_;
};

class Listener {
 public:
  explicit Listener(int backlog = 64);
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  // What FARSWAP_RUN is to be.
  const std::string& run() const { return run_; }
  // nullptr: no process said Hello within 20 s.
  std::unique_ptr<Peer> Accept() const;
  void Close();

 private:
  int socket_;
  std::string run_;
};

// What a test does to a process's memory from outside.
bool Register(int uffd, uint64_t start, uint64_t bytes);
// An errno, or 0.
int Copy(int uffd, uint64_t to, const void* from, uint64_t bytes);
// The userfaultfd of a forked child; -1: no such event within 20 s.
int ReadFork(int uffd);
// Reads the event that a zap raises.
bool ReadRemove(int uffd);
// The address of a fault, of a page; 0: none within 20 s.
uint64_t ReadFault(int uffd);
std::string ReadMemory(pid_t pid, uint64_t from, uint64_t bytes);

}  // namespace farswap::launcher

#endif  // FARSWAP_TESTS_CLIENT_LAUNCHER_PRELOAD_PEER_H_

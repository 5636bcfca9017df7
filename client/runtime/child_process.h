// A helper process of a program: it ends when the program does, however that
// ends, and gets nothing of it but what is named here.
//
// One thread at a time. The process is killed when the *thread* that started
// it ends (PR_SET_PDEATHSIG is the thread's): start it from one that stays.
#ifndef FARSWAP_CLIENT_RUNTIME_CHILD_PROCESS_H_
#define FARSWAP_CLIENT_RUNTIME_CHILD_PROCESS_H_

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace farswap::runtime {

// A file descriptor that is closed at the end.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(other.Release()) {}
  Fd& operator=(Fd&& other) noexcept;
  ~Fd();

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  int Release();

 private:
  int fd_ = -1;
};

class ChildProcess {
 public:
  // Runs argv[0], a path, in a process group of its own (the terminal's ^C is
  // not meant for it), with no standard input, its standard output readable
  // by ReadLine and its standard error in the file `log`.
  static absl::StatusOr<std::unique_ptr<ChildProcess>> Start(
      const std::vector<std::string>& argv, const std::string& log);

  // Kills it if it still runs.
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  pid_t pid() const { return pid_; }

  // The next line of its output, without the newline.
  //   DEADLINE_EXCEEDED  no line in time
  //   OUT_OF_RANGE       its output ended, as a rule because it ended
  absl::StatusOr<std::string> ReadLine(std::chrono::milliseconds timeout);

  // Waits for its end. Empty: it still runs. Else "exit status 2", "signal 9".
  std::optional<std::string> Wait(std::chrono::milliseconds timeout);

  // SIGTERM, and SIGKILL if it has not ended by then.
  void Stop(std::chrono::milliseconds timeout);

 private:
  ChildProcess(pid_t pid, Fd pidfd, Fd output)
      : pid_(pid), pidfd_(std::move(pidfd)), output_(std::move(output)) {}

  const pid_t pid_;
  const Fd pidfd_;
  const Fd output_;
  std::string unread_;
  std::optional<std::string> end_;
};

}  // namespace farswap::runtime

#endif  // FARSWAP_CLIENT_RUNTIME_CHILD_PROCESS_H_

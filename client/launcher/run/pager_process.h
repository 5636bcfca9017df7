// farswap-pager, as its starter sees it.
#ifndef FARSWAP_CLIENT_LAUNCHER_RUN_PAGER_PROCESS_H_
#define FARSWAP_CLIENT_LAUNCHER_RUN_PAGER_PROCESS_H_

#include <sys/types.h>

#include <chrono>
#include <deque>
#include <string>
#include <vector>

#include "client/launcher/pager_wire.h"
#include "client/launcher/run/fd.h"
#include "client/launcher/run/options.h"

namespace farswap::launcher {

class PagerProcess {
 public:
  // In a session of its own, so that what a terminal sends does not reach it;
  // with stderr, and no other descriptor of ours but the connection. False,
  // with errno, if it cannot be executed.
  bool Start(const std::string& path, const Options& options);

  bool started() const { return pid_ > 0; }
  // 0: none.
  pid_t pid() const { return pid_; }
  // Invalid when the connection has ended.
  int fd() const { return control_.get(); }
  void Close() { control_.Reset(); }

  // To be sent in order, as soon as the pager takes it. `fd` goes with it, and
  // is closed here then.
  void Send(const Control& control, Fd fd);
  // Sends what can be sent now.
  void Flush();
  // As long as this takes, whatever there is to send. False: the connection has
  // ended.
  bool FlushFor(std::chrono::milliseconds time);
  bool sending() const { return !queue_.empty(); }

  enum class News { kNone, kReady, kFailed, kEnded };
  News Read();

 private:
  struct Message {
    Control control;
    Fd fd;
  };

  // 0, or an errno.
  int SendFirst();

  pid_t pid_ = 0;
  Fd control_;
  // As many as processes have connected: the kernel takes ten at a time.
  std::deque<Message> queue_;
};

// What farswap-pager is told: the options, as they were given.
std::vector<std::string> PagerArguments(const std::string& path,
                                        const Options& options);

}  // namespace farswap::launcher

#endif  // FARSWAP_CLIENT_LAUNCHER_RUN_PAGER_PROCESS_H_

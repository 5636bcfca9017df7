// Keeps programs from running while they have more than they may.
//
// What a program maps anew it can touch as fast as it likes, until that is
// found and made far; and if it goes on so, faster than anything is taken out.
// Then its threads that run are stopped by ptrace(2), which neither they nor
// their parents see, until there is room. Those that sleep are left alone:
// their system calls would be interrupted. Those that are traced already run
// on.
//
// Not thread-safe: for one thread, which is the tracer.
#ifndef FARSWAP_CLIENT_LAUNCHER_PAGER_BRAKE_H_
#define FARSWAP_CLIENT_LAUNCHER_PAGER_BRAKE_H_

#include <sys/types.h>

#include <cstddef>
#include <vector>

namespace farswap::launcher {

class Brake {
 public:
  Brake() = default;
  // Threads that have not been let go are when this thread ends.
  ~Brake() = default;
  Brake(const Brake&) = delete;
  Brake& operator=(const Brake&) = delete;

  // Stops what runs of the process, but for the mover and its watcher.
  void Stop(pid_t pid);
  // Lets all go on. One that has not come to its stop yet does by a later call.
  void Release();
  // Threads that are stopped, or about to.
  size_t held() const { return held_.size(); }

 private:
  struct Thread {
    pid_t tid;
    pid_t pid;  // Its process, whose number it has after an exec.
  };

  // Whether it is not ours any more.
  static bool LetGo(Thread* thread);

  std::vector<Thread> held_;
};

}  // namespace farswap::launcher

#endif  // FARSWAP_CLIENT_LAUNCHER_PAGER_BRAKE_H_

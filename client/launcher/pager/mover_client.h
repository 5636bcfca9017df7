// The supervisor's side of a process's mover (client/launcher/preload).
//
// Thread-safe: one call at a time, the others wait for it, for a moment.
#ifndef FARSWAP_CLIENT_LAUNCHER_PAGER_MOVER_CLIENT_H_
#define FARSWAP_CLIENT_LAUNCHER_PAGER_MOVER_CLIENT_H_

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "client/launcher/process_wire.h"
#include "client/pager/mover.h"
#include "client/pager/own_fd.h"
#include "common/mutex.h"

namespace farswap::launcher {

class MoverClient final : public pager::Mover {
 public:
  // How long an answer is waited for. A move takes some 100 us; a processor
  // that others want, or a page table that must be made, some ms.
  static constexpr std::chrono::milliseconds kPatience{200};

  // `thread`: one that lives as long as the process, whose first may end
  // before. The socket and the pidfd stay the caller's, and open as long as
  // this is.
  MoverClient(pid_t thread, int pidfd, int socket)
      : thread_(thread), pidfd_(pidfd), socket_(socket) {}

  pager::OpResult Move(char* to, char* from, size_t bytes) override;
  pager::OpResult Zap(char* at, size_t bytes) override;
  pager::OpResult Unshare(char* at, size_t bytes) override;
  bool Answers() override;
  int Read(char* to, const char* from, size_t bytes) override;
  void Kill(const char* why) override;

 private:
  using SteadyTime = std::chrono::steady_clock::time_point;

  pager::OpResult Call(Op op, const char* to, const char* from, size_t bytes);
  pager::OpResult CallAlone(const Command& command);
  // The answer to the last command that was sent; false: none until then.
  // `*gone`: nor will there be.
  bool Await(Reply* reply, SteadyTime until, bool* gone);

  const pid_t thread_;
  const int pidfd_;
  const int socket_;

  Mutex mu_;
  CondVar idle_;
  bool busy_ ABSL_GUARDED_BY(mu_) = false;
  // Of who made it busy; others may ask.
  uint32_t last_id_ = 0;
  std::atomic<bool> unanswered_{false};
};

}  // namespace farswap::launcher

#endif  // FARSWAP_CLIENT_LAUNCHER_PAGER_MOVER_CLIENT_H_

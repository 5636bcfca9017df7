// Waits for the command, and for memory to get short.
#ifndef FARSWAP_CLIENT_LAUNCHER_RUN_SUPERVISOR_H_
#define FARSWAP_CLIENT_LAUNCHER_RUN_SUPERVISOR_H_

#include <sys/signalfd.h>
#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "client/launcher/run/intake.h"
#include "client/launcher/run/options.h"
#include "client/launcher/run/pager_process.h"
#include "client/launcher/run/poller.h"
#include "client/launcher/run/rendezvous.h"
#include "client/launcher/run/signals.h"
#include "client/launcher/run/strays.h"
#include "common/log_raw.h"

namespace farswap::launcher {

class Supervisor {
 public:
  // With the paths of the preload library and of farswap-pager.
  Supervisor(const Options& options, std::string preload, std::string pager,
             Signals* signals, Poller* poller, Rendezvous rendezvous);

  // Of `command`, which has been started. `known_local`: it is known to stay
  // local, and that has been said. Returns its status, as wait's, or that of
  // exit(1) if there was no far memory.
  int Run(pid_t command, bool known_local);

 private:
  using Time = std::chrono::steady_clock::time_point;

  enum class Phase {
    kRunning,   // The command.
    kLeaving,   // It has ended, others of the tree have not: to `deadline_`
                // the pager has to be ready to go on alone.
    kFarewell,  // The pager is told, and perhaps writes its statistics.
    kDone,
  };

  std::chrono::milliseconds UntilNext(Time now) const;
  void Dispatch(const Poller::Event& event);
  void OnSignals();
  void OnSignal(const signalfd_siginfo& signal);
  // The command has ended: nobody is to be waited for any more, but the pager
  // until it has all processes.
  void Hurry();
  void Reap();
  // If the command is stopped, once nobody needs us.
  void StopWithCommand();
  void OnCommandEnd();
  void LookAtMemory(Time now);
  // Whether there is something to be done about it here.
  bool LooksAtMemory() const { return !ready_ && phase_ < Phase::kFarewell; }
  void LookForStrays(Time now);
  void NameStray(const Stray& stray);
  void LookAtClock(Time now);

  void StartPager();
  void OnPager();
  void OnPagerEnd();
  void WatchPager();
  // The command, which has ended.
  bool WasKilled() const;
  void Leave();
  void SayGoodbye();
  // The programs must not go on unpaged.
  void Fail(const std::string& why);
  void EndTree();
  void EndPager();
  bool AnyLeft() const;
  // 0 if there is none (any more).
  pid_t PagerPid() const { return pager_reaped_ ? 0 : pager_.pid(); }

  const Options options_;
  const std::string pager_path_;
  Signals* const signals_;
  const uint64_t threshold_;      // Then there is to be a pager.
  const uint64_t far_threshold_;  // Until there is, nobody is to grow then.
  const size_t max_processes_;
  Poller* const poller_;
  PagerProcess pager_;
  Intake intake_;
  Strays strays_;
  pid_t command_ = 0;
  std::optional<int> status_;  // The command's.
  int stop_ = 0;               // The signal that has stopped it; 0: none.
  bool failed_ = false;
  bool ready_ = false;
  bool pager_reaped_ = false;
  bool hurried_ = false;
  bool awaits_statistics_ = false;
  Phase phase_ = Phase::kRunning;
  Time deadline_ = Time::max();
  Time next_look_;
  Time next_strays_;
  Time listen_again_ = Time::max();
  LogLimiter stray_lines_{1};
  uint64_t strays_unsaid_ = 0;
};

}  // namespace farswap::launcher

#endif  // FARSWAP_CLIENT_LAUNCHER_RUN_SUPERVISOR_H_

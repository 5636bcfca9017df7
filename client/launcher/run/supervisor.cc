#include "client/launcher/run/supervisor.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <utility>

#include "client/launcher/process/priority.h"
#include "client/launcher/run/command.h"
#include "client/launcher/run/memory.h"
#include "client/launcher/run/proc.h"
#include "client/launcher/run/say.h"
#include "client/launcher/run/zero_stats.h"

namespace farswap::launcher {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using std::chrono::seconds;

// What an event is of; processes have all other numbers.
constexpr uint64_t kSignals = 0;
constexpr uint64_t kListener = 1;
constexpr uint64_t kPager = 2;
constexpr uint64_t kFirstProcess = 16;

constexpr Control kBye;

constexpr milliseconds kStrayInterval{250};
constexpr milliseconds kDeafness{100};
// A pager that takes longer to start is none: the programs grow meanwhile.
constexpr seconds kReadyWithin{60};
constexpr seconds kLeaveWithin{30};
constexpr seconds kStatisticsWithin{5};
// The end of a pager whose connections end one by one.
constexpr milliseconds kPagerEndWithin{200};
// A look takes at most a tenth of the time, the one for strays a twentieth.
constexpr int kLookShare = 10;
constexpr int kStrayShare = 20;
// Descriptors that are not for processes.
constexpr size_t kOtherDescriptors = 64;
// Those of one that is held.
constexpr size_t kDescriptorsOfOne = 5;
// How long new processes are waited for: a second.
constexpr int kReportRounds = 100;
constexpr milliseconds kReportRound{10};
// How long ended processes are waited for: rounds of two milliseconds.
constexpr int kEndRounds = 500;

size_t MaxProcesses() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  const auto all = static_cast<size_t>(limit.rlim_cur);
  return (std::max(all, 2 * kOtherDescriptors) - kOtherDescriptors) /
         kDescriptorsOfOne;
}

bool EndsUs(uint32_t signal) {
  return signal == SIGTERM || signal == SIGINT || signal == SIGHUP ||
         signal == SIGQUIT;
}

}  // namespace

Supervisor::Supervisor(const Options& options, std::string preload,
                       std::string pager, Signals* signals, Poller* poller,
                       Rendezvous rendezvous)
    : options_(options),
      pager_path_(std::move(pager)),
      signals_(signals),
      threshold_(PagerThreshold(options.local_memory)),
      far_threshold_(FarThreshold(options.local_memory)),
      max_processes_(MaxProcesses()),
      poller_(poller),
      intake_(poller, kListener, kFirstProcess, std::move(rendezvous)),
      strays_(intake_.Variable(), std::move(preload)) {
  poller_->Watch(signals_->fd(), kSignals, EPOLLIN);
}

int Supervisor::Run(pid_t command, bool known_local) {
  command_ = command;
  GoFirst(0);
  if (known_local) strays_.Ignore(command);
  next_look_ = Clock::now();
  next_strays_ = next_look_ + kStrayInterval;
  while (phase_ != Phase::kDone) {
    for (const auto& event : poller_->Wait(UntilNext(Clock::now()))) {
      if (phase_ != Phase::kDone) Dispatch(event);
    }
    if (status_.has_value() && phase_ == Phase::kRunning) OnCommandEnd();
    StopWithCommand();
    LookAtMemory(Clock::now());
    LookForStrays(Clock::now());
    LookAtClock(Clock::now());
  }
  if (strays_unsaid_ > 0) {
    Say(std::to_string(strays_unsaid_) + " more processes stayed local");
  }
  return failed_ ? W_EXITCODE(1, 0) : *status_;
}

milliseconds Supervisor::UntilNext(Time now) const {
  Time next = std::min(deadline_, listen_again_);
  if (phase_ == Phase::kRunning) next = std::min(next, next_strays_);
  if (LooksAtMemory()) next = std::min(next, next_look_);
  // Rounded up, not to turn in the last millisecond; an hour is for ever.
  const auto wait =
      std::min<Clock::duration>(next - now, std::chrono::hours(1));
  return std::max(std::chrono::ceil<milliseconds>(wait), milliseconds(0));
}

void Supervisor::Dispatch(const Poller::Event& event) {
  if (event.id == kSignals) {
    OnSignals();
  } else if (event.id == kPager) {
    OnPager();
  } else if (event.id != kListener) {
    intake_.OnProcess(event.id);
  } else if (!intake_.OnListener()) {
    listen_again_ = Clock::now() + kDeafness;
  }
}

void Supervisor::OnSignals() {
  while (const std::optional<signalfd_siginfo> signal = signals_->Next()) {
    OnSignal(*signal);
  }
}

void Supervisor::OnSignal(const signalfd_siginfo& signal) {
  if (signal.ssi_signo == SIGCHLD) {
    Reap();
  } else if (!status_.has_value()) {
    // It has not been waited for, so the number is its own.
    if (IsForCommand(signal))
      kill(command_, static_cast<int>(signal.ssi_signo));
  } else if (EndsUs(signal.ssi_signo)) {
    Hurry();
  }
}

// What is not the pager's by our end would end with us.
void Supervisor::Hurry() {
  hurried_ = true;
  awaits_statistics_ = false;
  if (phase_ == Phase::kFarewell && !pager_.sending()) phase_ = Phase::kDone;
}

void Supervisor::Reap() {
  for (;;) {
    int status = 0;
    const pid_t pid = waitpid(-1, &status, WNOHANG | WUNTRACED | __WALL);
    if (pid <= 0) return;
    if (WIFSTOPPED(status)) {
      if (pid == command_) stop_ = WSTOPSIG(status);
    } else if (pid == command_) {
      status_ = status;
      stop_ = 0;
    } else if (pid == pager_.pid()) {
      pager_reaped_ = true;
    }
  }
}

void Supervisor::StopWithCommand() {
  if (stop_ == 0) return;
  // What is not of our group may wait for what only we can hand over.
  if (pager_.fd() >= 0 && (!ready_ || pager_.sending())) return;
  StopLike(command_, std::exchange(stop_, 0));
}

void Supervisor::LookAtMemory(Time now) {
  if (!LooksAtMemory() || now < next_look_) return;
  const uint64_t use = intake_.tree().PrivateBytes();
  if (!pager_.started() &&
      (use > threshold_ || intake_.tree().size() > max_processes_)) {
    StartPager();
    // Which has taken some time: they have grown since.
    next_look_ = Clock::now();
    return;
  }
  if (use > far_threshold_) intake_.Hold();
  const uint64_t next = pager_.started() ? far_threshold_ : threshold_;
  const Time end = Clock::now();
  next_look_ = end + std::max<Clock::duration>(NextLook(use, next),
                                               kLookShare * (end - now));
}

void Supervisor::LookForStrays(Time now) {
  if (phase_ != Phase::kRunning || now < next_strays_) return;
  const auto known = [this](pid_t pid) { return intake_.tree().Knows(pid); };
  for (const Stray& stray : strays_.Look(PagerPid(), known, now)) {
    NameStray(stray);
  }
  const Time end = Clock::now();
  next_strays_ = end + std::max<Clock::duration>(kStrayInterval,
                                                 kStrayShare * (end - now));
}

void Supervisor::NameStray(const Stray& stray) {
  if (options_.strict) KillDescendant(stray.pid, getpid(), 0);
  uint64_t suppressed = 0;
  if (!stray_lines_.Allow(&suppressed)) {
    ++strays_unsaid_;
    return;
  }
  strays_unsaid_ = 0;
  Say("process " + std::to_string(stray.pid) + " (" + stray.name + ") " +
      stray.why +
      (options_.strict ? ": ended, for --strict" : ": its memory stays local") +
      (suppressed == 0 ? "" : ", as " + std::to_string(suppressed) + " more"));
}

void Supervisor::LookAtClock(Time now) {
  if (now >= listen_again_) {
    listen_again_ = Time::max();
    intake_.Listen();
  }
  if (now < deadline_) return;
  if (phase_ == Phase::kFarewell) {
    phase_ = Phase::kDone;
  } else if (phase_ != Phase::kDone) {
    Fail("the pager was not ready in time");
  }
}

void Supervisor::OnCommandEnd() {
  if (pager_.started()) return Leave();
  // Who is connected, or about to be, is ended by our end: so it must not be
  // ours.
  intake_.OnListener();
  intake_.Prune();
  if (!intake_.tree().Reported().empty() || strays_.AnyMayReport(0)) {
    StartPager();
    if (phase_ == Phase::kRunning) Leave();
    return;
  }
  if (!options_.stats.empty() && !WriteZeroStats(options_.stats)) {
    Say("cannot write --stats=" + options_.stats);
    failed_ = true;
  }
  phase_ = Phase::kDone;
}

bool Supervisor::WasKilled() const {
  return WIFSIGNALED(*status_) && WTERMSIG(*status_) == SIGKILL;
}

void Supervisor::Leave() {
  // By its mover, perhaps, which has seen the pager's end before us.
  if (ready_ && pager_.fd() >= 0 && WasKilled() &&
      !pager_.FlushFor(kPagerEndWithin)) {
    OnPagerEnd();
  }
  if (pager_.fd() < 0) {
    phase_ = Phase::kDone;
  } else if (ready_) {
    SayGoodbye();
  } else {
    phase_ = Phase::kLeaving;
    deadline_ = Clock::now() + kLeaveWithin;
  }
}

void Supervisor::StartPager() {
  if (!pager_.Start(pager_path_, options_)) {
    return Fail("cannot execute " + pager_path_ + ": " + std::strerror(errno));
  }
  deadline_ = Clock::now() + kReadyWithin;
  if (!poller_->Watch(pager_.fd(), kPager, EPOLLIN)) {
    return Fail("the pager cannot be watched");
  }
  WatchPager();
}

void Supervisor::WatchPager() {
  if (pager_.fd() < 0) return;
  poller_->Change(pager_.fd(), kPager,
                  pager_.sending() ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

void Supervisor::OnPager() {
  pager_.Flush();
  for (;;) {
    switch (pager_.Read()) {
      case PagerProcess::News::kReady:
        ready_ = true;
        deadline_ = Time::max();
        listen_again_ = Time::max();
        intake_.HandOver(&pager_);
        if (phase_ == Phase::kLeaving) SayGoodbye();
        if (phase_ == Phase::kDone) return;
        continue;
      case PagerProcess::News::kFailed:
      case PagerProcess::News::kEnded:
        return OnPagerEnd();
      case PagerProcess::News::kNone:
        break;
    }
    break;
  }
  WatchPager();
  if (phase_ == Phase::kFarewell && !pager_.sending() && !awaits_statistics_) {
    phase_ = Phase::kDone;
  }
}

void Supervisor::OnPagerEnd() {
  if (phase_ == Phase::kFarewell) {
    phase_ = Phase::kDone;
  } else if (!ready_) {
    Fail("the pager did not start");
  } else {
    Say("the pager has ended, and with it the programs");
    // Their movers see it, too: the command is about to end.
    poller_->Forget(pager_.fd());
    pager_.Close();
  }
}

void Supervisor::SayGoodbye() {
  phase_ = Phase::kFarewell;
  // A daemon that is just being executed is not known to the pager, which
  // would find that it has nothing left to do. Those that are held do not wait
  // for that.
  for (int round = 0; round < kReportRounds; ++round) {
    if (!strays_.AnyIsYetToReport(PagerPid())) break;
    if (!pager_.FlushFor(kReportRound)) break;
  }
  pager_.Send(kBye, Fd());
  WatchPager();
  // Who reads them next finds them written.
  awaits_statistics_ = !hurried_ && !options_.stats.empty() && !AnyLeft();
  deadline_ =
      Clock::now() + (pager_.sending() ? kLeaveWithin : kStatisticsWithin);
  if (!pager_.sending() && !awaits_statistics_) phase_ = Phase::kDone;
}

bool Supervisor::AnyLeft() const {
  const std::vector<pid_t> left = Descendants(getpid(), PagerPid());
  return std::any_of(left.begin(), left.end(), [](pid_t pid) {
    const std::optional<ProcStat> stat = ReadStat(pid);
    return stat.has_value() && !stat->ended();
  });
}

void Supervisor::Fail(const std::string& why) {
  Say(why + "; without it the programs are ended");
  failed_ = true;
  phase_ = Phase::kDone;
  EndTree();
  EndPager();
}

void Supervisor::EndTree() {
  intake_.KillAll();
  // Whoever starts new ones meanwhile is among those that end.
  for (int round = 0; round < kEndRounds && AnyLeft(); ++round) {
    for (const pid_t pid : Descendants(getpid(), PagerPid())) {
      KillDescendant(pid, getpid(), PagerPid());
    }
    usleep(2000);
    Reap();
  }
}

void Supervisor::EndPager() {
  if (!pager_.started()) return;
  pager_.Close();
  for (int round = 0; round < kEndRounds && !pager_reaped_; ++round) {
    usleep(2000);
    Reap();
  }
  if (!pager_reaped_) kill(pager_.pid(), SIGKILL);
}

}  // namespace farswap::launcher

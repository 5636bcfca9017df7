#include "client/launcher/pager/supervisor.h"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <thread>
#include <utility>

#include "client/launcher/process/priority.h"
#include "client/launcher/process/socket_io.h"
#include "common/log_raw.h"
#include "common/units.h"

namespace farswap::launcher {
namespace {

using std::chrono::milliseconds;

constexpr std::chrono::seconds kHelloWait{5};
constexpr milliseconds kDeafness{100};
constexpr milliseconds kNoWait{0};
// For its other threads to end.
constexpr milliseconds kLeaveWait{1000};
// For who was killed.
constexpr std::chrono::seconds kEndWait{5};
// Of a time spent looking, how many times that is not: with very many processes
// it goes before what it is for.
constexpr int kRest = 3;

std::chrono::steady_clock::time_point Now() {
  return std::chrono::steady_clock::now();
}

pid_t PeerOf(int socket) {
  ucred peer{};
  socklen_t bytes = sizeof(peer);
  getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &bytes);
  return peer.pid;
}

}  // namespace

Supervisor::Supervisor(uint64_t limit_bytes, pager::OwnFd control,
                       pager::OwnFd device)
    : limit_(limit_bytes),
      control_(std::move(control)),
      device_(std::move(device)),
      set_limit_(limit_bytes) {}

Supervisor::~Supervisor() = default;

// --- forks ---

void Supervisor::OnFork(const pager::ProcessMm& parent,
                        const std::shared_ptr<pager::ProcessMm>& child) {
  const uint64_t tag_page = parent.tag_page.load();
  child->tag_page.store(tag_page);
  {
    MutexLock lock(&mu_);
    unreported_.emplace(child->id(), child);
  }
  alignas(kPageBytes) char page[kPageBytes] = {};
  const uint64_t tag = child->id();
  std::memcpy(page, &tag, sizeof(tag));
  (void)child->uffd().CopyIn(reinterpret_cast<char*>(tag_page), page,
                             kPageBytes);
}

// --- who is there ---

void Supervisor::ReadControl() {
  for (;;) {
    Control control;
    pager::OwnFd fd;
    switch (ReceivePacket(control_.get(), &control, sizeof(control), &fd)) {
      case Received::kNothing:
        return;
      case Received::kEnd:
        orphaned_ = !bye_;
        return;
      case Received::kPacket:
        TakeControl(control, std::move(fd));
    }
  }
}

void Supervisor::TakeControl(const Control& control, pager::OwnFd fd) {
  switch (control.kind) {
    case Control::Kind::kListen:
      listening_ = std::move(fd);
      expected_ = control.hello;
      break;
    case Control::Kind::kUffd:
      next_uffd_ = std::move(fd);
      break;
    case Control::Kind::kProcess:
      if (fd.valid()) AddKnown(control, std::move(fd));
      break;
    case Control::Kind::kBye:
      bye_ = true;
      break;
    default:
      break;
  }
}

void Supervisor::Accept() {
  for (;;) {
    pager::OwnFd socket(accept4(listening_.get(), nullptr, nullptr,
                                SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket.valid()) {
      // No descriptor is left: else it would be ready all the time.
      if (errno != EAGAIN) deaf_until_ = Now() + kDeafness;
      return;
    }
    strangers_.push_back({std::move(socket), Now() + kHelloWait});
  }
}

void Supervisor::ReadHello(Stranger* stranger) {
  Hello hello;
  const Received received =
      ReceivePacket(stranger->socket.get(), &hello, sizeof(hello), nullptr);
  if (received == Received::kNothing) return;
  const bool known =
      received == Received::kPacket && hello.version == kProcessWireVersion &&
      std::memcmp(hello.secret, expected_.secret, kSecretBytes) == 0;
  const pid_t pid = PeerOf(stranger->socket.get());
  if (known) {
    (void)Add(pid, hello, std::move(stranger->socket));
    return;
  }
  // Else it has ended before it said anything.
  if (received == Received::kPacket) {
    LogRaw(LogLevel::kWarning, "process %d says what is no hello", pid);
  }
  stranger->socket.Reset();
}

void Supervisor::AddKnown(const Control& control, pager::OwnFd socket) {
  Process* const process = Add(control.pid, control.hello, std::move(socket));
  if (control.uffd == Control::Uffd::kNone) return;
  if (control.uffd == Control::Uffd::kAsked) return process->AwaitUffd();
  (void)ShareLimit(process);  // As in Serve.
  Check(process, process->TakeUffd(pager_, std::move(next_uffd_),
                                   /*enabled=*/true));
}

Process* Supervisor::Add(pid_t pid, const Hello& hello, pager::OwnFd socket) {
  auto process = std::make_unique<Process>(pid, hello, std::move(socket));
  if (hello.tag != 0) {
    std::shared_ptr<pager::ProcessMm> mm;
    {
      MutexLock lock(&mu_);
      const auto it = unreported_.find(hello.tag);
      if (it != unreported_.end()) {
        mm = it->second;
        unreported_.erase(it);
      }
    }
    if (mm == nullptr || !process->GiveUffd(std::move(mm)).ok()) {
      LogRaw(LogLevel::kError,
             "process %d is ended: whose child it is, is "
             "not known",
             pid);
      process->Kill();
    }
  }
  processes_.push_back(std::move(process));
  return processes_.back().get();
}

void Supervisor::Check(Process* process, const absl::Status& status) {
  // By its number it would be the program that it executes that is ended.
  if (status.ok()) return;
  // What cannot be found is of one that is about to have left.
  const milliseconds wait = absl::IsNotFound(status) ? kLeaveWait : kNoWait;
  if (process->HasLeft(wait)) return;
  LogRaw(LogLevel::kError, "process %d cannot be paged for and is ended: %s",
         process->pid(), std::string(status.message()).c_str());
  process->Kill();
}

void Supervisor::Serve(Process* process, int events) {
  if (process->IsBecomingFar() && (events & POLLIN) != 0) {
    // What it has is charged now: off the limit as well, it would be taken out
    // until the next tick.
    (void)ShareLimit(process);
    Check(process, process->Answered(pager_));
  }
  if ((events & (POLLHUP | POLLRDHUP | POLLERR)) != 0) Remove(process);
}

void Supervisor::Remove(Process* process) {
  const auto it =
      std::find_if(processes_.begin(), processes_.end(),
                   [&](const auto& p) { return p.get() == process; });
  if (process->mm() != nullptr) removals_->Add(std::move(*it));
  processes_.erase(it);
}

void Supervisor::RemoveUnreported(bool all) {
  std::vector<std::shared_ptr<pager::ProcessMm>> dead;
  {
    MutexLock lock(&mu_);
    for (auto it = unreported_.begin(); it != unreported_.end();) {
      if (!all && it->second->uffd().IsAlive()) {
        ++it;
      } else {
        dead.push_back(std::move(it->second));
        it = unreported_.erase(it);
      }
    }
  }
  for (const auto& mm : dead) removals_->Add(mm);
}

void Supervisor::EndAll() {
  for (const auto& process : processes_) process->Kill();
  // Those of raw clones: one of their threads is all that is known of them.
  MutexLock lock(&mu_);
  for (const auto& [id, child] : unreported_) {
    const uint32_t tid = child->uffd().a_thread();
    if (tid != 0 && pager::TreePager::IsOf(*child, tid)) {
      kill(static_cast<pid_t>(tid), SIGKILL);
    }
  }
}

// With their userfaultfds closed they would read zeros.
void Supervisor::AwaitChildren() {
  const SteadyTime until = Now() + kEndWait;
  for (;;) {
    RemoveUnreported(/*all=*/false);
    {
      MutexLock lock(&mu_);
      if (unreported_.empty() || Now() > until) return;
    }
    std::this_thread::sleep_for(milliseconds(1));
  }
}

bool Supervisor::IsOver() {
  if (orphaned_) return true;
  if (!bye_ || !processes_.empty()) return false;
  Accept();
  if (!strangers_.empty()) return false;
  RemoveUnreported(/*all=*/false);
  MutexLock lock(&mu_);
  return unreported_.empty();
}

void Supervisor::Wait(milliseconds timeout) {
  std::vector<pollfd> fds;
  fds.push_back({bye_ ? -1 : control_.get(), POLLIN, 0});
  const bool deaf = Now() < deaf_until_;
  fds.push_back({deaf ? -1 : listening_.get(), POLLIN, 0});
  const size_t first_stranger = fds.size();
  for (const Stranger& s : strangers_)
    fds.push_back({s.socket.get(), POLLIN, 0});
  const size_t first_process = fds.size();
  std::vector<Process*> processes;
  for (const auto& process : processes_) {
    const int events =
        process->IsBecomingFar() ? POLLIN | POLLRDHUP : POLLRDHUP;
    fds.push_back({process->socket(), static_cast<int16_t>(events), 0});
    processes.push_back(process.get());
  }
  if (poll(fds.data(), fds.size(), static_cast<int>(timeout.count())) <= 0) {
    return;
  }
  for (size_t i = 0; i < processes.size(); ++i) {
    const int events = fds[first_process + i].revents;
    if (events != 0) Serve(processes[i], events);
  }
  for (size_t i = first_stranger; i < first_process; ++i) {
    Stranger& stranger = strangers_[i - first_stranger];
    if (fds[i].revents != 0) ReadHello(&stranger);
  }
  const SteadyTime now = Now();
  std::erase_if(strangers_, [&](const Stranger& s) {
    return !s.socket.valid() || s.until < now;
  });
  if (fds[1].revents != 0) Accept();
  if (fds[0].revents != 0) ReadControl();
}

bool Supervisor::Run(pager::TreePager* pager) {
  pager_ = pager;
  removals_.emplace(pager);
  if (const absl::Status status = removals_->Start(); !status.ok()) {
    LogRaw(LogLevel::kWarning, "%s", std::string(status.message()).c_str());
  }
  GoFirst(0);
  Control ready;
  ready.kind = Control::Kind::kReady;
  (void)SendPacket(control_.get(), &ready, sizeof(ready), -1);
  SteadyTime next = Now();
  while (!IsOver()) {
    if (const SteadyTime start = Now(); start >= next) {
      const milliseconds wait = Tick();
      const SteadyTime end = Now();
      next = end + std::max<SteadyTime::duration>(wait, kRest * (end - start));
    }
    Wait(std::max(std::chrono::ceil<milliseconds>(next - Now()),
                  milliseconds(0)));
  }
  if (orphaned_) {
    EndAll();
    AwaitChildren();
  }
  while (!processes_.empty()) Remove(processes_.front().get());
  RemoveUnreported(/*all=*/true);
  removals_.reset();
  return !orphaned_;
}

}  // namespace farswap::launcher

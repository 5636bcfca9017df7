#include "client/launcher/run/intake.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "client/launcher/process/private_bytes.h"
#include "client/launcher/run/memory.h"
#include "client/launcher/run/proc.h"
#include "client/launcher/run/say.h"

namespace farswap::launcher {
namespace {

// What a process says after its first word, nobody has asked it.
constexpr uint32_t kFirstWord = EPOLLIN | EPOLLRDHUP;
constexpr uint32_t kOnlyItsEnd = EPOLLRDHUP;

bool HasEnded(int fd) {
  pollfd state{fd, 0, 0};
  return poll(&state, 1, 0) > 0 && (state.revents & (POLLHUP | POLLERR)) != 0;
}

}  // namespace

Intake::Intake(Poller* poller, uint64_t listener, uint64_t first_process,
               Rendezvous rendezvous)
    : poller_(poller),
      listener_id_(listener),
      next_id_(first_process),
      rendezvous_(std::move(rendezvous)) {
  Listen();
}

void Intake::Listen() {
  listening_ = rendezvous_.fd() >= 0 &&
               poller_->Watch(rendezvous_.fd(), listener_id_, EPOLLIN);
}

bool Intake::OnListener() {
  while (listening_) {
    Fd socket = rendezvous_.Accept();
    if (socket.valid()) {
      Add(std::move(socket));
    } else if (errno == EAGAIN) {
      return true;
    } else if (errno != EINTR && errno != ECONNABORTED) {
      // Else it would be ready all the time.
      poller_->Forget(rendezvous_.fd());
      listening_ = false;
      return false;
    }
  }
  return true;
}

void Intake::Add(Fd socket) {
  const pid_t pid = PeerPid(socket.get());
  const int fd = socket.get();
  const uint64_t id = next_id_++;
  const uint64_t dropped = tree_.Add(id, std::move(socket), pid);
  if (dropped != 0) Refuse(dropped, "says nothing");
  if (pid <= 0) return Refuse(id, "is of another pid namespace");
  if (!poller_->Watch(fd, id, kFirstWord)) {
    return Refuse(id, "is one too many to watch");
  }
  Greet(id);
}

void Intake::OnProcess(uint64_t id) {
  Process* process = tree_.Find(id);
  if (process == nullptr) return;
  if (process->held != nullptr && process->held->asked()) {
    OnAnswer(id, process);
  } else if (process->reported) {
    Drop(id);
  } else {
    Greet(id);
  }
}

void Intake::Greet(uint64_t id) {
  Process* process = tree_.Find(id);
  Hello hello;
  switch (rendezvous_.ReadHello(process->socket.get(), &hello)) {
    case Rendezvous::Read::kNothingYet:
      return;
    case Rendezvous::Read::kEnded:
      Drop(id);
      return;
    case Rendezvous::Read::kWrong:
      return Refuse(id, "is of another version, or does not know the secret");
    case Rendezvous::Read::kHello:
      break;
  }
  const bool watched = tree_.Report(process, hello);
  poller_->Change(process->socket.get(), id, kOnlyItsEnd);
  if (pager_ != nullptr) return Give(id);
  if (HasEnded(process->socket.get())) {
    Drop(id);
  } else if (!watched) {
    Refuse(id, "has no /proc/PID/statm to watch it by");
  }
}

Process Intake::Drop(uint64_t id) {
  Process process = tree_.Remove(id);
  if (process.socket.valid()) poller_->Forget(process.socket.get());
  return process;
}

void Intake::Refuse(uint64_t id, const char* why) {
  const Process process = Drop(id);
  uint64_t suppressed = 0;
  if (!refusals_.Allow(&suppressed)) return;
  Say("refused process " + std::to_string(process.pid) + ", which " + why +
      (suppressed == 0 ? ""
                       : " (and " + std::to_string(suppressed) + " more)"));
}

void Intake::Prune() {
  for (const uint64_t id : tree_.Reported()) {
    if (HasEnded(tree_.Find(id)->socket.get())) Drop(id);
  }
}

void Intake::Hold() {
  for (const uint64_t id : tree_.Reported()) HoldOne(id, tree_.Find(id));
}

void Intake::HoldOne(uint64_t id, Process* process) {
  if (process->held != nullptr) {
    if (!process->held->asked()) process->held->Register();
    return;
  }
  if (PrivateBytes(process->statm.get()) < kLeastFarBytes) return;
  if (!device_.valid()) {
    device_ = Fd(open("/dev/userfaultfd", O_RDWR | O_CLOEXEC));
    // Without it the answer would be an error, which ends the process.
    if (!device_.valid()) return;
  }
  auto held = std::make_unique<HeldProcess>(process->pid, process->hello);
  // Else the next time, or it has ended.
  if (held->Ask(process->socket.get(), device_.get()) != 0) return;
  process->held = std::move(held);
  poller_->Change(process->socket.get(), id, kFirstWord);
}

void Intake::OnAnswer(uint64_t id, Process* process) {
  const std::string why = process->held->Answer(process->socket.get());
  if (why.empty()) {
    if (process->held->asked()) return;
    poller_->Change(process->socket.get(), id, kOnlyItsEnd);
  } else if (HasEnded(process->socket.get())) {
    Drop(id);
  } else {
    // What it touches waits, for nobody.
    KillPidfd(PeerPidfd(process->socket.get()));
    Refuse(id, ("cannot be paged for and is ended: " + why).c_str());
  }
}

void Intake::Give(uint64_t id) {
  Process process = Drop(id);
  Control control;
  control.pid = process.pid;
  if (process.held != nullptr) {
    control.uffd =
        process.held->asked() ? Control::Uffd::kAsked : Control::Uffd::kSent;
  }
  if (control.uffd == Control::Uffd::kSent) {
    control.kind = Control::Kind::kUffd;
    // Makes room for the copy: without it the process would be ended.
    process.statm.Reset();
    pager_->Send(control, Fd(fcntl(process.held->uffd(), F_DUPFD_CLOEXEC, 0)));
  }
  control.kind = Control::Kind::kProcess;
  control.hello = process.hello;
  pager_->Send(control, std::move(process.socket));
}

void Intake::HandOver(PagerProcess* pager) {
  pager_ = pager;
  if (listening_) poller_->Forget(rendezvous_.fd());
  listening_ = false;
  Control listen;
  listen.kind = Control::Kind::kListen;
  std::copy_n(rendezvous_.secret(), kSecretBytes, listen.hello.secret);
  // First of all: who connects from now on finds the pager, whatever else is
  // still on its way there.
  pager->Send(listen, rendezvous_.Take());
  for (const uint64_t id : tree_.Reported()) Give(id);
}

void Intake::KillAll() {
  for (const uint64_t id : tree_.Reported()) {
    KillPidfd(PeerPidfd(tree_.Find(id)->socket.get()));
  }
}

}  // namespace farswap::launcher

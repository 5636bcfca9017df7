#include "client/launcher/run/intake.h"

#include <poll.h>
#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <utility>

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
  const Process* process = tree_.Find(id);
  if (process == nullptr) return;
  if (process->reported) {
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

void Intake::Give(uint64_t id) {
  Process process = Drop(id);
  Fd pidfd = PeerPidfd(process.socket.get());
  if (pidfd.valid()) handed_over_.push_back(std::move(pidfd));
  pager_->Send(Control::Kind::kProcess, process.pid, process.hello,
               std::move(process.socket));
}

void Intake::HandOver(PagerProcess* pager) {
  pager_ = pager;
  if (listening_) poller_->Forget(rendezvous_.fd());
  listening_ = false;
  Hello secret;
  std::copy_n(rendezvous_.secret(), kSecretBytes, secret.secret);
  // First of all: who connects from now on finds the pager, whatever else is
  // still on its way there.
  pager->Send(Control::Kind::kListen, 0, secret, rendezvous_.Take());
  for (const uint64_t id : tree_.Reported()) Give(id);
}

void Intake::KillAll() {
  for (const uint64_t id : tree_.Reported()) {
    KillPidfd(PeerPidfd(tree_.Find(id)->socket.get()));
  }
  for (const Fd& pidfd : handed_over_) KillPidfd(pidfd);
}

}  // namespace farswap::launcher

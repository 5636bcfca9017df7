#include "client/launcher/pager/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/launcher/pager/mover_client.h"
#include "client/launcher/process/mover_thread.h"
#include "client/launcher/process/socket_io.h"
#include "common/units.h"

namespace farswap::launcher {
namespace {

static_assert(kTransitBytes == pager::UffdProcess::kTransitBytes);

char* At(uint64_t address) { return reinterpret_cast<char*>(address); }

absl::Status Send(int socket, Op op, int fd) {
  Command command;
  command.op = op;
  const int error = SendPacket(socket, &command, sizeof(command), fd);
  if (error == 0) return absl::OkStatus();
  return absl::ErrnoToStatus(error, "its mover cannot be asked");
}

}  // namespace

Process::Process(pid_t pid, const Hello& hello, pager::OwnFd socket)
    : pid_(pid),
      hello_(hello),
      thread_(MoverThread(pid, hello)),
      socket_(std::move(socket)),
      pidfd_(static_cast<int>(syscall(SYS_pidfd_open, pid, 0))),
      map_(thread_, {hello.own_start, hello.own_end}) {}

absl::Status Process::AskForUffd(int device) {
  state_ = State::kMaking;
  return Send(socket(), Op::kMakeUffd, device);
}

absl::Status Process::GiveUffd(std::shared_ptr<pager::ProcessMm> mm) {
  state_ = State::kTaking;
  mm_ = std::move(mm);
  return Send(socket(), Op::kTakeUffd, mm_->uffd().fd());
}

absl::Status Process::Answered(pager::TreePager* pager) {
  Reply reply;
  pager::OwnFd uffd;
  switch (ReceivePacket(socket(), &reply, sizeof(reply), &uffd)) {
    case Received::kNothing:
      return absl::OkStatus();
    case Received::kEnd:
      return absl::NotFoundError("it has ended");
    case Received::kPacket:
      break;
  }
  if (reply.error != 0) {
    return absl::ErrnoToStatus(reply.error, "its mover has no userfaultfd");
  }
  if (state_ == State::kMaking) {
    return TakeUffd(pager, std::move(uffd), /*enabled=*/false);
  }
  const absl::Status status = Attach();
  if (status.ok()) Track();
  return status;
}

absl::Status Process::TakeUffd(pager::TreePager* pager, pager::OwnFd uffd,
                               bool enabled) {
  if (!uffd.valid()) return absl::InternalError("it sent no userfaultfd");
  auto mm = pager->Add(std::move(uffd), enabled, At(hello_.transit));
  if (!mm.ok()) return mm.status();
  mm_ = *std::move(mm);
  absl::Status status = Attach();
  if (!status.ok()) return status;
  // Threads came to be in what was registered while it was held. Nothing of it
  // is out yet.
  if (enabled && map_.Refresh()) {
    for (const MapRange& range : map_.threads()) {
      (void)mm_->uffd().Unregister(At(range.start), range.end - range.start);
    }
  }
  // A fork may be told at once, of one that was held.
  status = pager->Begin(mm_);
  if (status.ok()) Track();
  return status;
}

absl::Status Process::Attach() {
  const std::string path = absl::StrCat("/proc/", thread_, "/pagemap");
  pager::OwnFd pagemap(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!pagemap.valid()) return absl::ErrnoToStatus(errno, path);
  pager::UffdProcess& uffd = mm_->uffd();
  // A child has it where its parent had, which is told when it is forked.
  if (uffd.transit() != At(hello_.transit)) {
    return absl::FailedPreconditionError("its transit is not its parent's");
  }
  mm_->tag_page.store(hello_.tag_page);
  // First of all: a child that is forked from now on knows by it that it is
  // paged for.
  absl::Status status = uffd.Register(At(hello_.tag_page), kPageBytes);
  if (!status.ok()) return status;
  status = uffd.Register(At(hello_.transit), kTransitBytes);
  if (!status.ok()) return status;
  if (map_.Refresh()) Spare();
  uffd.Attach(std::move(pagemap),
              std::make_unique<MoverClient>(thread_, pidfd_.get(), socket()));
  mm_->pid.store(pid_, std::memory_order_relaxed);
  state_ = State::kFar;
  return absl::OkStatus();
}

void Process::Track() {
  if (!map_.Refresh()) return;  // It is gone.
  Spare();
  // What holds a thread's control block and is far already is not to be.
  for (const MapRange& range : map_.threads()) {
    mm_->Untrack(At(range.start), At(range.end));
  }
  for (const MapRange& range : map_.far()) {
    mm_->Track(At(range.start), At(range.end));
  }
}

void Process::Spare() {
  std::vector<pager::AddressRange> ranges;
  for (const MapRange& range : map_.spared()) {
    ranges.emplace_back(At(range.start), At(range.end));
  }
  mm_->uffd().Spare(std::move(ranges));
}

// That it answers again is known when it is asked. What it has by then is not
// more to be left to it: nobody would ask.
uint64_t Process::StoppedBytes() {
  if (!mm_->uffd().stalled()) {
    stopped_bytes_ = 0;
  } else if (const uint64_t now = ResidentBytes();
             stopped_bytes_ == 0 || now < stopped_bytes_) {
    stopped_bytes_ = now;
  }
  return stopped_bytes_;
}

uint64_t Process::AskGrowth() {
  const uint64_t now = ResidentBytes();
  growth_ = now - std::min(now, last_bytes_);
  last_bytes_ = now;
  return growth_;
}

bool Process::HasLeft(std::chrono::milliseconds wait) const {
  pollfd peer{socket(), POLLRDHUP, 0};
  return poll(&peer, 1, static_cast<int>(wait.count())) > 0;
}

void Process::Kill() {
  syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0);
}

}  // namespace farswap::launcher

#include "client/pager/forks/forks.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <utility>

#include "absl/algorithm/container.h"
#include "common/check.h"
#include "common/log_raw.h"

namespace farswap::pager {
namespace {

// A descriptor of its own for the child; false if it cannot be told.
bool Tell(int socket, ForkReply reply, int fd) {
  char byte = static_cast<char>(reply);
  iovec io{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &io;
  message.msg_iovlen = 1;
  if (fd >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &fd, sizeof(fd));
  }
  return sendmsg(socket, &message, MSG_NOSIGNAL) == 1;
}

// What of the piece is in none of the ranges.
std::vector<RegionTable::Piece> Without(
    const RegionTable::Piece& piece, const std::vector<AddressRange>& ranges) {
  std::vector<RegionTable::Piece> rest = {piece};
  for (const auto& [start, end] : ranges) {
    std::vector<RegionTable::Piece> left;
    for (const RegionTable::Piece& p : rest) {
      if (p.start < std::min(start, p.end)) {
        left.push_back(p.In(p.start, std::min(start, p.end)));
      }
      if (std::max(end, p.start) < p.end) {
        left.push_back(p.In(std::max(end, p.start), p.end));
      }
    }
    rest = std::move(left);
  }
  return rest;
}

}  // namespace

Forks::~Forks() {
  MutexLock lock(&mu_);
  FARSWAP_CHECK(children_.empty());
}

int Forks::Prepare() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    return -1;  // The fork is refused, as one that was not prepared.
  }
  MutexLock lock(&mu_);
  expected_ = OwnFd(ends[0]);
  return ends[1];
}

void Forks::Told(ForkWindow window) {
  MutexLock lock(&mu_);
  window_ = std::move(window);
}

OwnFd Forks::TakeExpected() {
  MutexLock lock(&mu_);
  return std::move(expected_);
}

void Forks::Done() {
  const OwnFd socket = TakeExpected();
  Told({});
  if (socket.valid()) (void)Tell(socket.get(), ForkReply::kNothing, -1);
}

ForkWindow Forks::WindowOf(int uffd) const {
  MutexLock lock(&mu_);
  return absl::c_linear_search(window_.children, uffd) ? window_ : ForkWindow();
}

size_t Forks::children() const {
  MutexLock lock(&mu_);
  return stopped_ ? kMaxChildren : children_.size();
}

void Forks::Fill(ForkedChild* child, const ForkWindow& window,
                 const std::vector<AddressRange>& held) const {
  std::vector<AddressRange> hidden = held;  // Nor what of regions is there.
  std::vector<AddressRange> unclear = held;
  for (const MapEvent& change : window.changes) {
    if (change.kind == MapEvent::Kind::kRemove) continue;
    unclear.emplace_back(change.start, change.end);
    if (change.kind != MapEvent::Kind::kRemap) continue;
    unclear.emplace_back(change.to, change.to + (change.end - change.start));
    hidden.push_back(unclear.back());
  }
  for (const auto& piece : shared_.regions.All()) {
    for (const auto& part : Without(piece, hidden)) child->AddPiece(part);
  }
  for (const auto& [start, end] : unclear) child->AddUnclear(start, end);
  if (window.settled) child->SetComplete();
}

void Forks::Apply(int uffd, const std::vector<AddressRange>& held,
                  const std::function<void()>& copied) {
  shared_.forked.store(true, std::memory_order_relaxed);
  Reap();
  const ForkWindow window = WindowOf(uffd);
  auto child = std::make_unique<ForkedChild>(&shared_, uffd);
  Fill(child.get(), window, held);
  copied();
  for (char* const page : shared_.space->TakeLacked(uffd)) child->Lose(page);
  OwnFd socket;
  if (window.children.size() == 1) socket = TakeExpected();
  if (!socket.valid() || children() >= kMaxChildren) {
    return Refuse(child.get(), std::move(socket));
  }
  const int told = socket.get();
  if (!child->Start(&socket)) return Refuse(child.get(), std::move(socket));
  // If it is gone already, its end is seen.
  (void)Tell(told, ForkReply::kServed, uffd);
  shared_.counters.forks.Add();
  shared_.counters.forked_children.Add(1);
  MutexLock lock(&mu_);
  children_.push_back(std::move(child));
}

void Forks::Refuse(ForkedChild* child, OwnFd socket) {
  static LogLimiter limiter(60);
  const bool safe = child->Refuse();
  shared_.counters.forks_refused.Add();
  uint64_t suppressed = 0;
  if (limiter.Allow(&suppressed)) {
    LogRaw(LogLevel::kWarning,
           "a fork is not served: by a raw clone, or at the same time as one, "
           "or beyond %zu children; its far memory that is remote raises "
           "SIGBUS (%llu more since the last such line)",
           kMaxChildren, static_cast<unsigned long long>(suppressed));
  }
  // If it is not safe it is told nothing, and ends.
  if (safe && socket.valid()) {
    (void)Tell(socket.get(), ForkReply::kRefused, -1);
  }
}

void Forks::Reap() {
  std::vector<std::unique_ptr<ForkedChild>> ended;
  MutexLock lock(&mu_);
  const auto first =
      std::partition(children_.begin(), children_.end(),
                     [](const auto& child) { return !child->ended(); });
  std::move(first, children_.end(), std::back_inserter(ended));
  children_.erase(first, children_.end());
  shared_.counters.forked_children.Sub(ended.size());
}

void Forks::Stop() {
  std::vector<std::unique_ptr<ForkedChild>> children;
  {
    MutexLock lock(&mu_);
    stopped_ = true;
    children.swap(children_);
  }
  for (const auto& child : children) child->Stop();
  shared_.counters.forked_children.Sub(children.size());
}

}  // namespace farswap::pager

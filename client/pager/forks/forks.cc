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

constexpr ptrdiff_t kMaxUnclear = ptrdiff_t{1} << 30;

}  // namespace

Forks::Forks(Shared* shared, const Mm* mm) : shared_(*shared), mm_(*mm) {
  MutexLock lock(&mu_);
  (void)MakePair(&spare_);
}

Forks::~Forks() {
  MutexLock lock(&mu_);
  FARSWAP_CHECK(children_.empty());
}

bool Forks::MakePair(std::array<OwnFd, 2>* ends) {
  int fds[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0) {
    return false;
  }
  *ends = {OwnFd(fds[0]), OwnFd(fds[1])};
  return true;
}

int Forks::Prepare() {
  std::array<OwnFd, 2> ends;
  MutexLock lock(&mu_);
  if (!MakePair(&ends)) ends = std::move(spare_);
  expected_ = std::move(ends[0]);
  return ends[1].Release();
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
  {
    MutexLock lock(&mu_);
    if (!spare_[0].valid()) (void)MakePair(&spare_);
  }
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
  // Where nothing that a region has is believed to be.
  std::vector<AddressRange> hidden = held;
  std::vector<AddressRange> unclear = held;
  for (const MapEvent& change : window.unclear) {
    unclear.emplace_back(change.start, change.end);
    if (change.kind == MapEvent::Kind::kRemove) {
      hidden.push_back(unclear.back());
    }
    if (change.kind != MapEvent::Kind::kRemap) continue;
    unclear.emplace_back(change.to, change.to + (change.end - change.start));
    hidden.push_back(unclear.back());
  }
  for (const auto& piece : mm_.regions.All()) {
    for (const auto& part : Without(piece, hidden)) child->AddPiece(part);
  }
  // A raw clone is refused. It waits for nobody, so nothing is left waiting.
  bool complete = window.settled || window.children.empty();
  for (const auto& [start, end] : unclear) {
    // Asked for page by page.
    if (end - start > kMaxUnclear) {
      complete = false;
    } else {
      child->AddUnclear(start, end);
    }
  }
  if (complete) child->SetComplete();
}

void Forks::Apply(int uffd, const std::vector<AddressRange>& held,
                  const std::function<void()>& copied) {
  shared_.forked.store(true, std::memory_order_relaxed);
  Reap();
  const ForkWindow window = WindowOf(uffd);
  auto child = std::make_unique<ForkedChild>(&shared_, uffd);
  Fill(child.get(), window, held);
  copied();
  for (char* const page : mm_.space->TakeLacked(uffd)) child->Lose(page);
  OwnFd socket;
  if (window.children.size() == 1) socket = TakeExpected();
  if (!socket.valid() || children() >= kMaxChildren) {
    return Refuse(child.get(), std::move(socket));
  }
  if (!child->Start(&socket)) return Refuse(child.get(), std::move(socket));
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
  for (const auto& child : children) child->AskToStop();
  for (const auto& child : children) child->Stop();
  shared_.counters.forked_children.Sub(children.size());
}

}  // namespace farswap::pager

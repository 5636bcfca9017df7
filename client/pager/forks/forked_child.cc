#include "client/pager/forks/forked_child.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "client/pager/content.h"
#include "client/pager/send_packet.h"
#include "client/pager/thread.h"
#include "common/log_raw.h"

namespace farswap::pager {
namespace {

// A get that takes longer is asked again, once the child's changes are read.
constexpr std::chrono::seconds kMoment{1};
// Before what could not be done now is tried again.
constexpr std::chrono::milliseconds kPause{1};
constexpr std::chrono::milliseconds kMemoryPause{10};

using SteadyTime = std::chrono::steady_clock::time_point;
SteadyTime Now() { return std::chrono::steady_clock::now(); }

constexpr char kQuit = static_cast<char>(ForkReply::kQuit);
constexpr char kAbort = static_cast<char>(ForkReply::kAbort);
constexpr char kUnwatched = static_cast<char>(ForkReply::kUnwatched);

int OpenSpare() { return open("/dev/null", O_RDONLY | O_CLOEXEC); }

char* PageAt(char* at) {
  return at - reinterpret_cast<uintptr_t>(at) % kPageBytes;
}

}  // namespace

bool Tell(int socket, ForkReply reply, int fd) {
  const char byte = static_cast<char>(reply);
  return SendPacket(socket, &byte, 1, fd, /*flags=*/0) == 0;
}

ForkedChild::ForkedChild(Shared* shared, int uffd)
    : shared_(*shared),
      uffd_(uffd),
      map_(shared, &uffd_),
      stop_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      spare_fd_(OpenSpare()) {}

ForkedChild::~ForkedChild() {
  Stop();
  if (stop_fd_ >= 0) close(stop_fd_);
  if (spare_fd_ >= 0) close(spare_fd_);
}

bool ForkedChild::Start(OwnFd* socket) {
  wait_.emplace(
      std::initializer_list<int>{uffd_.fd(), socket->get(), stop_fd_});
  if (!wait_->valid()) return false;
  socket_ = std::move(*socket);
  thread_ = StartThread("farswap-forked", [this] { Run(); });
  if (!thread_) *socket = std::move(socket_);
  return thread_.has_value();
}

bool ForkedChild::Refuse() {
  const bool done = map_.PoisonAll(&uffd_) && (complete_ || gone_);
  // Open, it makes who faults wait; closed, it would give him zeros.
  if (!done) uffd_.Leak();
  uffd_.Close();
  map_.Clear();
  return done;
}

void ForkedChild::AskToStop() { eventfd_write(stop_fd_, 1); }

void ForkedChild::Stop() {
  if (!thread_) return;
  AskToStop();
  thread_->join();
  thread_.reset();
}

void ForkedChild::Run() {
  // Or it is gone already; or waits for an answer in vain, and is to end.
  gone_ = !Tell(socket_.get(), ForkReply::kServed, uffd_.fd());
  while (!gone_ && !stopping_) {
    Wait();
    ReadAll();
    ServeAll();
  }
  // Also if it is gone: it may be that only its watcher is.
  if (Refuse()) (void)send(socket_.get(), &kQuit, 1, MSG_NOSIGNAL);
  socket_.Reset();
  ended_.store(true, std::memory_order_release);
}

void ForkedChild::Wait() {
  const uint32_t ready =
      wait_->Wait(waiting_.empty() ? -1 : static_cast<int>(kPause.count()));
  stopping_ |= (ready & 4) != 0;
  if ((ready & 2) == 0) return;
  char byte = 0;
  const bool unwatched =
      recv(socket_.get(), &byte, 1, MSG_DONTWAIT) == 1 && byte == kUnwatched;
  (unwatched ? stopping_ : gone_) = true;
}

void ForkedChild::ReadAll() {
  for (;;) {
    const std::optional<Message> message = uffd_.Read();
    if (message && message->fault) {
      waiting_.push_back(
          {PageAt(message->fault->address), Now() + shared_.fault_deadline});
    } else if (message) {
      Apply(message->change);
    } else if (spare_fd_ >= 0 && (errno == EMFILE || errno == ENFILE)) {
      close(std::exchange(spare_fd_, -1));
    } else {
      break;
    }
  }
  if (errno == EMFILE || errno == ENFILE) std::this_thread::sleep_for(kPause);
  if (spare_fd_ < 0) spare_fd_ = OpenSpare();
}

void ForkedChild::Apply(const MapEvent& change) {
  switch (change.kind) {
    case MapEvent::Kind::kRemove:
      return map_.Forget(change.start, change.end);
    case MapEvent::Kind::kUnmap:
      return map_.Unmap(change.start, change.end);
    case MapEvent::Kind::kRemap:
      return map_.Move(change.start, change.end, change.to);
    case MapEvent::Kind::kFork: {
      // Nobody would end it when this process ends.
      UffdForked child(change.child);
      shared_.counters.forks_refused.Add();
      if (!map_.PoisonAll(&child)) child.Leak();
      return;
    }
  }
}

void ForkedChild::ServeAll() {
  for (size_t n = waiting_.size(); n > 0 && !gone_ && !stopping_; --n) {
    Waiting fault = waiting_.front();
    waiting_.pop_front();
    const Step step = Serve(&fault);
    if (step == Step::kLater) waiting_.push_back(fault);
    gone_ |= step == Step::kGone;
    ReadAll();
  }
}

ForkedChild::Step ForkedChild::Serve(Waiting* fault) {
  ForkedMap::Range* const range = map_.Find(fault->page);
  if (range == nullptr) {
    return complete_ ? ServeZeros(*fault) : Poison(fault->page);
  }
  const PageWord word = range->map->Get(range->PageOf(fault->page));
  switch (word.kind()) {
    case PageWord::Kind::kNone:
      return ServeZeros(*fault);
    case PageWord::Kind::kSwap:
      return ServeSwap(range, fault);
    default:
      // Poison goes nowhere where a page is. Where none is that should be, and
      // no change is unread that would explain it, it is the answer.
      return Poison(fault->page);
  }
}

ForkedChild::Step ForkedChild::ServeZeros(const Waiting& fault) {
  const Step step =
      After(uffd_.ZeroFill(fault.page, kPageBytes).error, fault.page);
  const bool late = step == Step::kLater && Now() >= fault.deadline;
  return late ? Poison(fault.page) : step;
}

ForkedChild::Step ForkedChild::Poison(char* page) {
  return After(uffd_.Poison(page, kPageBytes).error, page);
}

ForkedChild::Step ForkedChild::After(int error, char* page) {
  if (error == ESRCH) return Step::kGone;
  if (error == ENOMEM) std::this_thread::sleep_for(kMemoryPause);
  if (error == EAGAIN || error == ENOMEM) return Step::kLater;
  // There is a page, or nothing is mapped: who waits finds it. Done: who came
  // while it was done is not woken by that.
  (void)uffd_.Wake(page, kPageBytes);
  return Step::kDone;
}

uint64_t ForkedChild::Window(const char* page) {
  const bool goes_on = page == next_;
  window_ = goes_on ? std::min(2 * window_, kPmdBytes) : kPartBytes;
  return window_;
}

ForkedChild::Step ForkedChild::ServeSwap(ForkedMap::Range* range,
                                         Waiting* fault) {
  const uint64_t page = range->PageOf(fault->page);
  const auto parts =
      map_.PartsFrom(*range, page, fault->losses > 0 ? 0 : Window(fault->page));
  if (parts.empty()) {
    // Zeros were in the slot.
    map_.Forget(fault->page, fault->page + kPageBytes);
    return ServeZeros(*fault);
  }
  std::vector<remote::FolioRef> refs;
  size_t bytes = 0;
  for (const ForkedMap::Part& part : parts) {
    refs.push_back({part.grant, part.head.slot(), part.order});
    bytes += BytesOf(part.order);
  }
  if (buffer_ == nullptr) {
    buffer_ = std::make_unique_for_overwrite<char[]>(kPmdBytes);
  }
  const absl::Status got =
      shared_.transport->Get(refs, absl::MakeSpan(buffer_.get(), bytes),
                             std::min(fault->deadline, Now() + kMoment));
  if (!got.ok()) return Failed(range, fault, parts.front(), got);
  const char* at = buffer_.get();
  for (const ForkedMap::Part& part : parts) {
    const Content content = HashContent(at, part.order);
    const Sums sums = SumsOf(content, part.grant, part.head.slot(), part.order);
    if (sums[0] != part.sum) {
      shared_.counters.checksum_errors.Add();
      if (&part != &parts.front()) break;  // A fault finds out.
      return Failed(range, fault, part,
                    absl::DataLossError("it has another checksum than was "
                                        "stored"));
    }
    const Step step = Install(range, part, at);
    if (step == Step::kLater && Now() >= fault->deadline) {
      return Failed(range, fault, part,
                    absl::ResourceExhaustedError("it has no memory for it"));
    }
    if (step != Step::kDone) return step;
    at += BytesOf(part.order);
    next_ = range->AddressOf(part.first + PagesOf(part.order));
  }
  return After(0, fault->page);
}

ForkedChild::Step ForkedChild::Install(ForkedMap::Range* range,
                                       const ForkedMap::Part& part,
                                       const char* bytes) {
  Step step = Step::kDone;
  map_.TakeFrom(range, part, PageWord(PageWord::Kind::kFolio, 0),
                [&](uint64_t page, uint64_t pages, uint32_t i) {
                  char* const to = range->AddressOf(page);
                  const char* const from = bytes + i * kPageBytes;
                  for (size_t at = 0; at < pages * kPageBytes;) {
                    const OpResult copied = uffd_.CopyIn(
                        to + at, from + at, pages * kPageBytes - at);
                    at += copied.done;
                    if (copied.ok()) break;
                    step = After(copied.error, to + at);
                    if (step != Step::kDone) return false;
                    at += kPageBytes;  // There is a page, or nothing mapped.
                  }
                  shared_.counters.forked_pages.Add(pages);
                  return true;
                });
  return step;
}

ForkedChild::Step ForkedChild::Failed(ForkedMap::Range* range, Waiting* fault,
                                      const ForkedMap::Part& part,
                                      const absl::Status& why) {
  if (absl::IsCancelled(why)) return Step::kLater;  // Stop is to come.
  if (absl::IsDataLoss(why) && fault->losses++ == 0) return Step::kLater;
  if (!absl::IsDataLoss(why)) {
    if (Now() < fault->deadline) return Step::kLater;
    if (range->policy == FailPolicy::kWait) {
      fault->deadline = Now() + shared_.fault_deadline;
      return Step::kLater;
    }
  }
  if (range->policy == FailPolicy::kAbort) {
    (void)send(socket_.get(), &kAbort, 1, MSG_NOSIGNAL);
  }
  Step step = Step::kDone;
  uint64_t lost = 0;
  map_.TakeFrom(range, part, PageWord(PageWord::Kind::kPoisoned, 0),
                [&](uint64_t page, uint64_t pages, uint32_t) {
                  for (uint64_t i = 0; i < pages && step == Step::kDone; ++i) {
                    step = Poison(range->AddressOf(page + i));
                  }
                  lost += pages;
                  return step == Step::kDone;
                });
  static LogLimiter limiter(1);
  uint64_t suppressed = 0;
  if (lost > 0) shared_.counters.pages_lost.Add(lost);
  if (lost > 0 && limiter.Allow(&suppressed)) {
    LogRaw(LogLevel::kError,
           "page %p of a forked child is lost: %s (%llu more since the last "
           "such line)",
           static_cast<void*>(fault->page), std::string(why.message()).c_str(),
           static_cast<unsigned long long>(suppressed));
  }
  return step;
}

}  // namespace farswap::pager

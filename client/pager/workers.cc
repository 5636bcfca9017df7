#include "client/pager/workers.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "client/pager/thread.h"

namespace farswap::pager {

Workers::Workers(MessageSource* source, Uffd* forking, Handler* handler)
    : source_(source),
      forking_uffd_(forking),
      handler_(handler),
      drain_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      stop_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      yield_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      fork_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      told_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      worker_wait_({source->fd(), drain_fd_, yield_fd_}),
      spare_wait_({source->fd(), stop_fd_, yield_fd_}),
      begin_wait_({fork_fd_, stop_fd_}),
      fork_wait_({source->fd(), told_fd_}) {}

Workers::~Workers() {
  Stop();
  close(drain_fd_);
  close(stop_fd_);
  close(yield_fd_);
  close(fork_fd_);
  close(told_fd_);
}

absl::Status Workers::Start() {
  bool started = worker_wait_.valid() && spare_wait_.valid() &&
                 begin_wait_.valid() && fork_wait_.valid() &&
                 AddThread(/*spare=*/true) && StartForkReader();
  for (size_t i = 0; started && i < kStartWorkers; ++i) {
    started = AddThread(/*spare=*/false);
  }
  if (started) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      "the system has no thread or descriptor left for the pager: see ulimit "
      "-u and -n, and the cgroup's pids.max");
}

void Workers::Drain() {
  eventfd_write(drain_fd_, 1);
  std::vector<std::thread> workers;
  {
    MutexLock lock(&mu_);
    draining_ = true;
    for (size_t i = 1; i < threads_.size(); ++i) {
      workers.push_back(std::move(threads_[i]));
    }
    threads_.resize(std::min<size_t>(threads_.size(), 1));
    turn_.SignalAll();
    spare_.SignalAll();
  }
  for (std::thread& worker : workers) worker.join();
}

void Workers::Stop() {
  Drain();
  eventfd_write(stop_fd_, 1);
  std::vector<std::thread> spare;
  {
    MutexLock lock(&mu_);
    stopping_ = true;
    spare.swap(threads_);
    spare_.SignalAll();
  }
  for (std::thread& thread : spare) thread.join();
  if (fork_reader_) fork_reader_->join();
  fork_reader_.reset();
}

bool Workers::IsWorker(uint32_t tid) const {
  const auto end = tids_.begin() + started_.load(std::memory_order_acquire);
  return std::any_of(tids_.begin(), end, [&](const auto& t) {
    return t.load(std::memory_order_relaxed) == tid;
  });
}

bool Workers::AddThread(bool spare) {
  MutexLock lock(&mu_);
  if (draining_ || threads_.size() == tids_.size()) return false;
  const size_t index = threads_.size();
  if (!spare) ++free_;
  started_.store(index + 1, std::memory_order_release);
  std::optional<std::thread> thread = StartThread(
      spare ? "farswap-events" : "farswap-fault", [this, spare, index] {
        tids_[index].store(static_cast<uint32_t>(gettid()),
                           std::memory_order_relaxed);
        spare ? RunSpare() : RunWorker();
      });
  if (!thread) {
    if (!spare) --free_;
    return false;
  }
  threads_.push_back(std::move(*thread));
  return true;
}

void Workers::RunWorker() {
  while (const std::optional<Work> work = Take()) {
    Leave();
    if (work->message.fault) handler_->Serve(work->message, work->read_at);
    handler_->ApplyChanges(work->message);
    Return();
  }
}

void Workers::RunSpare() {
  for (;;) {
    {
      MutexLock lock(&mu_);
      while (!stopping_ && (IsTakenLocked() || (free_ > 0 && !draining_))) {
        spare_.Wait(&mu_);
      }
      if (stopping_) return;
      reading_ = true;
    }
    (void)Read(spare_wait_, /*keep=*/true);
  }
}

std::optional<Workers::Work> Workers::Take() {
  for (;;) {
    {
      MutexLock lock(&mu_);
      while (!draining_ && backlog_.empty() && IsTakenLocked()) {
        turn_.Wait(&mu_);
      }
      if (draining_) return std::nullopt;
      if (!backlog_.empty()) {
        Work work = std::move(backlog_.front());
        backlog_.pop_front();
        if (!IsTakenLocked()) turn_.Signal();  // That turn is another one's.
        return work;
      }
      reading_ = true;
    }
    // None: it ends, or gave its turn to a fork.
    std::optional<Work> work = Read(worker_wait_, /*keep=*/false);
    if (work) return work;
  }
}

std::optional<Workers::Work> Workers::Read(const WaitSet& set, bool keep) {
  std::optional<Message> message = source_->Next(set);
  if (!message) {
    MutexLock lock(&mu_);
    reading_ = false;
    PassOnLocked();
    return std::nullopt;
  }
  if (!message->fault) handler_->QueueChange(*message);
  Work work{*std::move(message), std::chrono::steady_clock::now()};
  MutexLock lock(&mu_);
  reading_ = false;
  if (keep) backlog_.push_back(work);
  PassOnLocked();
  return work;
}

void Workers::PassOnLocked() {
  if (forking_) given_.Signal();
  turn_.Signal();
  if (free_ == 0 || draining_) spare_.Signal();
}

void Workers::TakeTurn() {
  MutexLock lock(&mu_);
  forking_ = true;
  eventfd_write(yield_fd_, 1);
  while (reading_) given_.Wait(&mu_);
  reading_ = true;
  eventfd_t told;
  eventfd_read(yield_fd_, &told);
}

void Workers::GiveTurn(std::vector<Work> read) {
  MutexLock lock(&mu_);
  backlog_.insert(backlog_.end(), read.begin(), read.end());
  reading_ = forking_ = false;
  turn_.SignalAll();
  spare_.Signal();
}

bool Workers::StartForkReader() {
  if (forking_uffd_ == nullptr) return true;
  fork_reader_ = StartThread("farswap-fork", [this] { RunForkReader(); });
  return fork_reader_.has_value();
}

void Workers::RunForkReader() {
  for (;;) {
    const uint32_t ready = begin_wait_.Wait(-1);
    if (ready == 0) continue;
    if ((ready & 1) == 0) return;
    eventfd_t begun;
    eventfd_read(fork_fd_, &begun);
    forking_uffd_->ReadThroughFork(fork_wait_);
    fork_read_.store(true);
    fork_read_.notify_one();
  }
}

void Workers::BeginFork() {
  TakeTurn();
  forking_uffd_->BeginFork();
  fork_read_.store(false);
  eventfd_write(fork_fd_, 1);
}

void Workers::EndFork(
    const std::function<void(const Uffd::Forking& told)>& told) {
  eventfd_write(told_fd_, 1);
  fork_read_.wait(false);
  eventfd_t over;
  eventfd_read(told_fd_, &over);
  const Uffd::Forking forking = forking_uffd_->EndFork();
  told(forking);
  const SteadyTime now = std::chrono::steady_clock::now();
  std::vector<Work> faults;
  for (const Fault& fault : forking.faults) faults.push_back({{fault}, now});
  for (const auto& changes : {forking.changes, forking.forks, forking.later}) {
    for (const MapEvent& change : changes) {
      handler_->QueueChange({std::nullopt, change});
    }
  }
  GiveTurn(std::move(faults));
  handler_->ApplyChanges(Message());
}

void Workers::Leave() {
  {
    MutexLock lock(&mu_);
    if (--free_ > 0) return;
  }
  if (AddThread(/*spare=*/false)) return;
  MutexLock lock(&mu_);
  PassOnLocked();
}

void Workers::Return() {
  MutexLock lock(&mu_);
  ++free_;
}

}  // namespace farswap::pager

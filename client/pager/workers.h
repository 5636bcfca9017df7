// The threads that read messages of the userfaultfd and act on them,
// leader-follower.
//
// One thread at a time reads; having read a fault it hands the reading on and
// serves the fault itself. When the last free worker goes off to serve, a
// further one is started, up to a bound: while servers are slow every fault is
// still read, and its deadline runs. Changes of the map are queued by who
// reads them, so in order, and then applied.
//
// Past the bound, or when the system has no thread left, one thread more is
// the reader: it serves nothing, so it is never stuck. What it reads waits for
// a worker. Without it a thread that changes the map, or a worker that zaps,
// would sleep until a server answers.
//
// A thread that forks holds the allocator's locks until its event is read, and
// any of these may wait for those. So before, they stop reading, and one more
// thread reads that needs nothing, until the fork is over.
//
// Thread-safe.
#ifndef FARSWAP_CLIENT_PAGER_WORKERS_H_
#define FARSWAP_CLIENT_PAGER_WORKERS_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "client/pager/message_source.h"
#include "client/pager/staging.h"
#include "client/pager/uffd.h"
#include "client/pager/wait_set.h"
#include "common/mutex.h"

namespace farswap::pager {

class Workers {
 public:
  // What is done with messages; called from any worker.
  class Handler {
   public:
    virtual ~Handler() = default;
    // A fault. May wait for servers.
    virtual void Serve(const Message& message, SteadyTime read_at) = 0;
    // A change. In the order of reading, by one thread at a time. Takes no
    // block lock.
    virtual void QueueChange(const Message& message) = 0;
    // Applies what is queued, of the address space of that message.
    virtual void ApplyChanges(const Message& message) = 0;
  };

  // `forking`: the userfaultfd of this process, if it is what is read, and
  // forks are told; else null.
  Workers(MessageSource* source, Uffd* forking, Handler* handler);
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  // RESOURCE_EXHAUSTED if the system has no thread for it.
  absl::Status Start();
  // Ends those that serve, once each has served the fault it has. Map events
  // are still read, as whoever raises one waits for that; faults stay unserved.
  void Drain();
  // Drains, and ends the reading.
  void Stop();

  // Around a fork, in the thread that forks; one at a time. `told` is what was
  // told in between. When EndFork returns, the fork is applied.
  void BeginFork();
  void EndFork(const std::function<void(const Uffd::Forking& told)>& told);

  // Whether that thread is one of these.
  bool IsWorker(uint32_t tid) const;

 private:
  // How many threads of the program can wait for servers at a time, each for
  // another folio, before others queue behind them. A worker that waits costs
  // its stack, some 100 KiB with its buffer, and up to 512 KiB while it brings
  // a folio's neighbours along; it exists only once needed.
  static constexpr size_t kMaxWorkers = 512;
  // Two processors fault at once, and each fault's worker is mostly waiting.
  static constexpr size_t kStartWorkers = 4;

  // A fault to be served; or a change, which is queued.
  struct Work {
    Message message;
    SteadyTime read_at;
  };

  bool AddThread(bool spare);
  bool StartForkReader();
  void RunForkReader();
  // The turn to read is the forking thread's; back.
  void TakeTurn() ABSL_LOCKS_EXCLUDED(mu_);
  void GiveTurn(std::vector<Work> read) ABSL_LOCKS_EXCLUDED(mu_);
  void RunWorker();
  void RunSpare();
  // The next message, after the turn to read has come; or of the backlog.
  // Nullopt: stopping.
  std::optional<Work> Take() ABSL_LOCKS_EXCLUDED(mu_);
  // `keep`: for the backlog.
  std::optional<Work> Read(const WaitSet& set, bool keep)
      ABSL_LOCKS_EXCLUDED(mu_);
  // A worker goes off to serve: sees that somebody reads meanwhile.
  void Leave() ABSL_LOCKS_EXCLUDED(mu_);
  void Return() ABSL_LOCKS_EXCLUDED(mu_);
  bool IsTakenLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return reading_ || forking_;
  }
  // Lets the next one read.
  void PassOnLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  MessageSource* const source_;
  Uffd* const forking_uffd_;
  Handler* const handler_;
  const int drain_fd_;  // Readable: workers read no more.
  const int stop_fd_;   // Readable: nor does the spare one.
  const int yield_fd_;  // Readable: who reads gives the turn back.
  const int fork_fd_;   // Readable: a fork begins.
  const int told_fd_;   // Readable: it is over.
  // The source's, and of these what ends the wait for it.
  const WaitSet worker_wait_;
  const WaitSet spare_wait_;
  const WaitSet begin_wait_;  // For a fork, or the end.
  const WaitSet fork_wait_;

  // The spare one is among them.
  std::array<std::atomic<uint32_t>, kMaxWorkers + 1> tids_{};
  std::atomic<size_t> started_{0};  // Of tids_.

  Mutex mu_;
  CondVar turn_;   // For workers.
  CondVar spare_;  // For the thread that serves nothing.
  CondVar given_;  // For the thread that forks.
  bool draining_ ABSL_GUARDED_BY(mu_) = false;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  bool reading_ ABSL_GUARDED_BY(mu_) = false;
  bool forking_ ABSL_GUARDED_BY(mu_) = false;
  int free_ ABSL_GUARDED_BY(mu_) = 0;  // Workers that serve nothing now.
  // Read by the spare thread. One a thread of the program that waits, so
  // bounded by those.
  std::deque<Work> backlog_ ABSL_GUARDED_BY(mu_);
  std::vector<std::thread> threads_ ABSL_GUARDED_BY(mu_);  // Spare one first.

  // Waits for the next fork, as then none can be started.
  std::optional<std::thread> fork_reader_;
  std::atomic<bool> fork_read_{false};
};

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_WORKERS_H_

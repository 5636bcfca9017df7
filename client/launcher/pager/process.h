// A process of the tree, as its pager sees it.
//
// | state      | means                                                      |
// | ---------- | ---------------------------------------------------------- |
// | kLocal     | it has said Hello; its memory is its own                   |
// | kMaking    | it was asked for a userfaultfd                             |
// | kTaking    | a forked child: it is being given its userfaultfd          |
// | kFar       | what its map says becomes far                              |
//
// Not thread-safe: the supervisor's thread's.
#ifndef FARSWAP_CLIENT_LAUNCHER_PAGER_PROCESS_H_
#define FARSWAP_CLIENT_LAUNCHER_PAGER_PROCESS_H_

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "client/launcher/process/memory_map.h"
#include "client/launcher/process_wire.h"
#include "client/pager/own_fd.h"
#include "client/pager/tree/tree_pager.h"

namespace farswap::launcher {

class Process {
 public:
  enum class State { kLocal, kMaking, kTaking, kFar };

  Process(pid_t pid, const Hello& hello, pager::OwnFd socket);
  // REQUIRES: its address space was removed from the pager.
  ~Process() = default;
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const { return pid_; }
  State state() const { return state_; }
  // What its mover answers is for this side, not for who moves pages.
  bool IsBecomingFar() const {
    return state_ == State::kMaking || state_ == State::kTaking;
  }
  int socket() const { return socket_.get(); }
  const std::shared_ptr<pager::ProcessMm>& mm() const { return mm_; }

  // Asks it for a userfaultfd. REQUIRES: kLocal. `device`: /dev/userfaultfd.
  absl::Status AskForUffd(int device);
  // A forked child: gives it its own. REQUIRES: kLocal.
  absl::Status GiveUffd(std::shared_ptr<pager::ProcessMm> mm);
  // It has been asked for it. REQUIRES: kLocal.
  void AwaitUffd() { state_ = State::kMaking; }
  // Its userfaultfd; `enabled`: UffdSpace::Enable was done. REQUIRES: kLocal or
  // kMaking. Then it is kFar.
  absl::Status TakeUffd(pager::TreePager* pager, pager::OwnFd uffd,
                        bool enabled);
  // An answer is there. kMaking, kTaking: takes it in. Then it is kFar.
  absl::Status Answered(pager::TreePager* pager);

  // Makes far what its map says and is not far yet.
  void Track();
  // Private memory that is resident.
  uint64_t ResidentBytes() const { return map_.ResidentBytes(); }
  // As much of it as cannot be taken out, as its mover does not answer; of a
  // process that is kFar.
  uint64_t StoppedBytes();

  // By how many bytes what is resident has grown since this was asked last.
  uint64_t AskGrowth();
  // As of then.
  uint64_t growth() const { return growth_; }

  // It has ended or called exec, so that its mover has gone, or does so within
  // that time.
  bool HasLeft(std::chrono::milliseconds wait) const;
  void Kill();

 private:
  // It has a userfaultfd, and so has this side.
  absl::Status Attach();
  // What holds a thread, or is about to, is not taken out.
  void Spare();

  const pid_t pid_;
  const Hello hello_;
  // The mover, which is there to the last; so is its folder in /proc.
  const pid_t thread_;
  const pager::OwnFd socket_;
  const pager::OwnFd pidfd_;
  MemoryMap map_;
  State state_ = State::kLocal;
  uint64_t stopped_bytes_ = 0;
  uint64_t last_bytes_ = 0;  // Resident.
  uint64_t growth_ = 0;
  std::shared_ptr<pager::ProcessMm> mm_;
};

}  // namespace farswap::launcher

#endif  // FARSWAP_CLIENT_LAUNCHER_PAGER_PROCESS_H_

// farswap-pager's one thread beside the pager's own: who is in the tree, and
// when their memory becomes far.
//
// While the tree is well under its limit, processes keep their memory to
// themselves, and only what is resident is looked at. Near it each that has
// some becomes far (Process), and its map is read every few milliseconds, so
// that what it maps anew is far soon. What is resident of processes that are
// not is taken off the limit of those that are.
//
// Not thread-safe, but for OnFork.
#ifndef FARSWAP_CLIENT_LAUNCHER_PAGER_SUPERVISOR_H_
#define FARSWAP_CLIENT_LAUNCHER_PAGER_SUPERVISOR_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "client/launcher/pager/brake.h"
#include "client/launcher/pager/process.h"
#include "client/launcher/pager/removals.h"
#include "client/launcher/pager_wire.h"
#include "client/pager/own_fd.h"
#include "client/pager/tree/tree_pager.h"
#include "common/mutex.h"

namespace farswap::launcher {

class Supervisor {
 public:
  // `control`: the socket to farswap-run. `device`: /dev/userfaultfd, open.
  Supervisor(uint64_t limit_bytes, pager::OwnFd control, pager::OwnFd device);
  ~Supervisor();
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  // For TreePager::Options.
  void OnFork(const pager::ProcessMm& parent,
              const std::shared_ptr<pager::ProcessMm>& child);

  // Until the tree has ended. False: it was ended, as farswap-run has.
  bool Run(pager::TreePager* pager);

 private:
  using SteadyTime = std::chrono::steady_clock::time_point;

  // A connection that has not said Hello.
  struct Stranger {
    pager::OwnFd socket;
    SteadyTime until;
  };

  void Wait(std::chrono::milliseconds timeout);
  bool IsOver();
  void ReadControl();
  void TakeControl(const Control& control, pager::OwnFd fd);
  void Accept();
  void ReadHello(Stranger* stranger);
  Process* Add(pid_t pid, const Hello& hello, pager::OwnFd socket);
  // One that farswap-run knew.
  void AddKnown(const Control& control, pager::OwnFd socket);
  // Ends it if it cannot be paged for.
  static void Check(Process* process, const absl::Status& status);
  // One of a process's socket's events.
  void Serve(Process* process, int events);
  void Remove(Process* process);
  // Of forked children that never said anything, or of all of them.
  void RemoveUnreported(bool all);
  void EndAll();
  void AwaitChildren();

  // Looks at who uses how much; returns when to look again.
  std::chrono::milliseconds Tick();
  void MakeFar();
  // What far processes have grown by since the last tick; some of it has been
  // found.
  uint64_t Growth();
  // Has those wait that grow faster than anything is taken out, if they have
  // `unfound` bytes more than is known.
  void Hold(uint64_t unfound);
  // Leaves those that are far, and `becoming`, what others have not. Returns
  // what these have.
  uint64_t ShareLimit(const Process* becoming);

  const uint64_t limit_;
  const pager::OwnFd control_;
  const pager::OwnFd device_;
  pager::TreePager* pager_ = nullptr;
  std::optional<Removals> removals_;  // While it runs.
  pager::OwnFd listening_;
  SteadyTime deaf_until_;   // Nobody is accepted before.
  pager::OwnFd next_uffd_;  // Of the process that is told next.
  Hello expected_;          // Its secret.
  bool bye_ = false;
  bool orphaned_ = false;  // farswap-run ended without a word.
  uint64_t set_limit_ = 0;
  uint64_t ticks_ = 0;
  Brake brake_;
  SteadyTime braked_until_;  // At the latest.
  std::vector<Stranger> strangers_;
  std::vector<std::unique_ptr<Process>> processes_;

  Mutex mu_;  // For OnFork, which the pager's workers call.
  // Forked children whose own Hello is still to come, or never does, by the id
  // of their address space.
  std::unordered_map<uint64_t, std::shared_ptr<pager::ProcessMm>> unreported_
      ABSL_GUARDED_BY(mu_);
};

}  // namespace farswap::launcher

#endif  // FARSWAP_CLIENT_LAUNCHER_PAGER_SUPERVISOR_H_

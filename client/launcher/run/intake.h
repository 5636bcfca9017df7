// Takes in the processes of the tree, until the pager does.
#ifndef FARSWAP_CLIENT_LAUNCHER_RUN_INTAKE_H_
#define FARSWAP_CLIENT_LAUNCHER_RUN_INTAKE_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "client/launcher/run/fd.h"
#include "client/launcher/run/pager_process.h"
#include "client/launcher/run/poller.h"
#include "client/launcher/run/rendezvous.h"
#include "client/launcher/run/tree.h"
#include "common/log_raw.h"

namespace farswap::launcher {

class Intake {
 public:
  // Events of `listener` are for OnListener; those from `first_process` on for
  // OnProcess.
  Intake(Poller* poller, uint64_t listener, uint64_t first_process,
         Rendezvous rendezvous);

  std::string Variable() const { return rendezvous_.Variable(); }
  const Tree& tree() const { return tree_; }

  // Accepts who waits. False if there are no descriptors left: it is deaf
  // then, until Listen.
  bool OnListener();
  bool listening() const { return listening_; }
  void Listen();

  void OnProcess(uint64_t id);

  // Forgets those that have ended, without waiting to be told.
  void Prune();

  // Keeps those that have memory from getting more (HeldProcess), as of their
  // maps now.
  void Hold();

  // The listening socket and all processes are the pager's from now on; those
  // that have yet to say who they are follow when they have. `pager` is ready,
  // and stays.
  void HandOver(PagerProcess* pager);

  // SIGKILL to all that have reported in.
  void KillAll();

 private:
  void Add(Fd socket);
  void Greet(uint64_t id);
  void HoldOne(uint64_t id, Process* process);
  // Of one that is asked for its userfaultfd.
  void OnAnswer(uint64_t id, Process* process);
  void Give(uint64_t id);
  Process Drop(uint64_t id);
  // Who cannot be watched is not to run on unseen.
  void Refuse(uint64_t id, const char* why);

  Poller* const poller_;
  const uint64_t listener_id_;
  uint64_t next_id_;
  Rendezvous rendezvous_;
  Tree tree_;
  bool listening_ = false;
  PagerProcess* pager_ = nullptr;
  Fd device_;  // /dev/userfaultfd, once it was needed.
  LogLimiter refusals_{1};
};

}  // namespace farswap::launcher

#endif  // FARSWAP_CLIENT_LAUNCHER_RUN_INTAKE_H_

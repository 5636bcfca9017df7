// The processes that have connected and not ended: the tree, as far as it has
// reported in, until the pager has it.
#ifndef FARSWAP_CLIENT_LAUNCHER_RUN_TREE_H_
#define FARSWAP_CLIENT_LAUNCHER_RUN_TREE_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "client/launcher/process_wire.h"
#include "client/launcher/run/fd.h"
#include "client/launcher/run/held_process.h"

namespace farswap::launcher {

struct Process {
  Fd socket;
  pid_t pid = 0;
  bool reported = false;  // It has said `hello`.
  Hello hello;
  Fd statm;                           // Of /proc/PID, once it has reported.
  std::unique_ptr<HeldProcess> held;  // Null: it is not.
};

class Tree {
 public:
  // Anyone may connect. So many may be about to say who they are; then the
  // one that has been for longest is dropped.
  static constexpr size_t kMaxUnreported = 1024;

  // `id` is larger than all before. Returns the id of one that is to be
  // dropped for it; 0: none.
  uint64_t Add(uint64_t id, Fd socket, pid_t pid);
  // Null if it has been removed.
  Process* Find(uint64_t id);
  // False, with errno, if its memory cannot be watched.
  bool Report(Process* process, const Hello& hello);
  // The caller's; its socket is invalid if there is no such process.
  Process Remove(uint64_t id);

  std::vector<uint64_t> Reported() const;
  bool Knows(pid_t pid) const;
  bool empty() const { return processes_.empty(); }
  size_t size() const { return processes_.size(); }
  // What they have for themselves. Pages that a fork has left shared count
  // for each: rather too much than too little.
  uint64_t PrivateBytes() const;

 private:
  std::map<uint64_t, Process> processes_;
  size_t unreported_ = 0;
};

}  // namespace farswap::launcher

#endif  // FARSWAP_CLIENT_LAUNCHER_RUN_TREE_H_

// A process that is not to grow while the pager starts.
//
// Its mover makes the userfaultfd that the pager is going to have, and what its
// map says is registered. What it touches anew in there waits, as do its forks
// and changes of its map, until the pager reads of them.
//
// Not thread-safe.
#ifndef FARSWAP_CLIENT_LAUNCHER_RUN_HELD_PROCESS_H_
#define FARSWAP_CLIENT_LAUNCHER_RUN_HELD_PROCESS_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "client/launcher/process/memory_map.h"
#include "client/launcher/process_wire.h"
#include "client/pager/uffd_process.h"

namespace farswap::launcher {

class HeldProcess {
 public:
  HeldProcess(pid_t pid, const Hello& hello);

  // Asks its mover for a userfaultfd. `device`: /dev/userfaultfd. An errno.
  int Ask(int socket, int device);
  // Something is to be read of its socket, or its end. Empty, or why it cannot
  // be paged for.
  std::string Answer(int socket);
  // Whether it has been asked and has not answered.
  bool asked() const { return uffd_ == nullptr; }
  // Registers what is new in its map since the last time, and lets go of where
  // threads came to be: each locks its map.
  // REQUIRES: !asked().
  void Register();
  // This object's.
  int uffd() const { return uffd_->fd(); }

 private:
  const Hello hello_;
  MemoryMap map_;
  // Of the last look, by address.
  std::vector<MapRange> registered_;
  std::vector<MapRange> threads_;
  std::unique_ptr<pager::UffdProcess> uffd_;
};

}  // namespace farswap::launcher

#endif  // FARSWAP_CLIENT_LAUNCHER_RUN_HELD_PROCESS_H_

// A thread in another process that does there what can only be done from
// inside: it moves pages (a move is refused from elsewhere) to the
// process's transit, a mapping of ours on its userfaultfd, and drops them.
//
// It may be stopped at any time, with its process (SIGSTOP, a debugger, the
// freezer), so every call ends within a bound. Who got no answer in time does
// not know whether the call was done, or will be; those after it are refused
// until it is.
//
// | errno     | meaning                                         |
// | --------- | ----------------------------------------------- |
// | ETIMEDOUT | no answer; it may be done, or be done later     |
// | EBUSY     | an earlier call has no answer yet; nothing done |
// | ESRCH     | the process is gone                             |
// | others    | the kernel's, of the system call there          |
//
// Thread-safe.
#ifndef FARSWAP_CLIENT_PAGER_MOVER_H_
#define FARSWAP_CLIENT_PAGER_MOVER_H_

#include <cstddef>

#include "client/pager/address_space.h"

namespace farswap::pager {

class Mover {
 public:
  virtual ~Mover() = default;

  // Moves pages to transit.
  virtual OpResult Move(char* to, char* from, size_t bytes) = 0;
  // Drops pages of transit. The process's userfaultfd tells of it.
  virtual OpResult Zap(char* at, size_t bytes) = 0;
  // As AddressSpace::Unshare.
  virtual OpResult Unshare(char* at, size_t bytes) = 0;
  // Whether the last call has its answer, if only since it was given up.
  virtual bool Answers() = 0;
  // Copies bytes of present pages of the process. An errno; 0: all of them.
  virtual int Read(char* to, const char* from, size_t bytes) = 0;
  // Ends the process, with a line that says why: what it has is not known to
  // be right any more.
  virtual void Kill(const char* why) = 0;
};

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_MOVER_H_

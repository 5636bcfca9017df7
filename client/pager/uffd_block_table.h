// Dropping the page table of a block that has no page: a 2 MiB page that is
// moved in where there is one arrives as 512.
//
// The block is moved to scratch by mremap(MREMAP_DONTUNMAP), which takes the
// table along and leaves the block mapped and registered. Unlike a discard
// that is one step, under the kernel's lock of the map, of one mapping, and its
// event names an address that is nobody else's. (Of a discard the kernel tells
// first, and once more if the mapping is cut meanwhile: that could not be told
// from the program's own.)
//
// Nothing may be mapped at the block that is not ours. A thread that unmaps it
// sleeps until its event is read, so no event is read from before the look
// whether there was one, read or not, until the block has been moved
// (MapEvents::Sleeper). What is left: one thread unmaps the block, another is
// given the same addresses and writes, both between that look and the move, a
// system call later. So the caller drops no table of a region that the program
// has ever unmapped a part of.
//
// The scratch is always mapped, else the program might be given its addresses
// and the next drop would be over what it has there. A move that the kernel
// refuses halfway (ENOMEM) unmaps it. It is taken back, but never over what
// somebody else has there by now: then no table is dropped any more.
//
// Thread-safe. A leaf lock, held across the system calls, and their event; the
// reader does not take it.
#ifndef FARSWAP_CLIENT_PAGER_UFFD_BLOCK_TABLE_H_
#define FARSWAP_CLIENT_PAGER_UFFD_BLOCK_TABLE_H_

#include <atomic>

#include "client/pager/address_space.h"
#include "client/pager/map_events.h"
#include "common/mutex.h"

namespace farswap::pager {

class BlockTable {
 public:
  // `uffd`: its descriptor, the caller's.
  BlockTable(int uffd, MapEvents* events);
  ~BlockTable();
  BlockTable(const BlockTable&) = delete;
  BlockTable& operator=(const BlockTable&) = delete;

  // Maps the scratch. False: there is no address space.
  bool Init();
  // Errors: EAGAIN (the map is changing), EINVAL (locked memory), EFAULT
  // (several mappings), ENOMEM (also once and for all: the scratch is lost).
  // Then nothing has changed.
  OpResult Drop(char* block);
  // Where tables go to, for tests; null once it is lost.
  char* scratch();

 private:
  // Maps nothing at the scratch, so that it can be told from what is moved
  // there. `over`: what of ours is there, else the place must be free.
  bool ResetScratch(bool over) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // After a move that failed, or a reset.
  void TakeScratchBack() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const int uffd_;
  MapEvents& events_;
  Mutex mu_;
  // Set by Init, null once it is lost; others than the holder of mu_ ask
  // `moved`, while the holder sleeps.
  std::atomic<char*> scratch_{nullptr};
};

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_UFFD_BLOCK_TABLE_H_

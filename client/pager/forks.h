// The program's forks: who is about to fork, and the children that are served.
//
// A fork goes like this:
//   1. Before it, in the forking thread: Prepare makes a socket; its other end
//      is the child's.
//   2. The kernel copies the map and tells; the child does not run before that
//      is read. Apply gives it copies of the page maps, and by the socket its
//      own userfaultfd, so that its faults wait, rather than read zeros, when
//      this process ends before it (runtime/child_watch.h).
//   3. After it, in the forking thread: Done.
// A fork that was not prepared (a raw clone, a child's child) has nobody to end
// the child when this process ends: it is refused. What it has not got raises
// SIGBUS there.
//
// Thread-safe. Prepare .. Done is for one thread at a time.
#ifndef FARSWAP_CLIENT_PAGER_FORKS_H_
#define FARSWAP_CLIENT_PAGER_FORKS_H_

#include <functional>
#include <memory>
#include <vector>

#include "client/pager/forked_child.h"
#include "client/pager/shared.h"
#include "client/pager/vacated.h"
#include "common/mutex.h"

namespace farswap::pager {

class Forks {
 public:
  // Each has a thread, a descriptor or two and a copy of the page maps.
  static constexpr size_t kMaxChildren = 64;

  explicit Forks(Shared* shared) : shared_(*shared) {}
  // REQUIRES: Stop.
  ~Forks();
  Forks(const Forks&) = delete;
  Forks& operator=(const Forks&) = delete;

  // The child's end, which the caller closes in the parent. -1: there is none
  // left.
  int Prepare();
  // The fork was applied, or there was none.
  void Done();

  // A fork was told; takes over its userfaultfd. `unclear`: what nobody knows
  // the pages of. `copied` is called once the page maps are; until then the
  // descriptor is open, and operations on far memory are to be refused
  // (MapEvents). Takes block locks.
  void Apply(int uffd, const std::vector<AddressRange>& unclear,
             const std::function<void()>& copied);

  // Frees what children that are gone have left. For the background.
  void Reap();
  // The children are served no more: what they have not got raises SIGBUS.
  void Stop();

 private:
  int TakeExpected();
  size_t children() const;

  Shared& shared_;
  mutable Mutex mu_;
  int expected_ ABSL_GUARDED_BY(mu_) = -1;
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<std::unique_ptr<ForkedChild>> children_ ABSL_GUARDED_BY(mu_);
};

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_FORKS_H_

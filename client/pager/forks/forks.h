// The program's forks: who is about to fork, and the children that are served.
//
// A fork goes like this:
//   1. Before it, in the forking thread: Prepare makes a socket; its other end
//      is the child's.
//   2. The kernel copies the map and tells; the child does not run before that
//      is read.
//   3. After it, in the forking thread: Told says what was told meanwhile,
//   Apply
//      gives the child copies of the page maps, and by the socket its own
//      userfaultfd, so that its faults wait, rather than read zeros, when this
//      process ends before it (runtime/child_watch.h). Then Done.
// What other threads moved, unmapped or discarded just when the kernel copied
// the map, the child may have before or after that: it raises SIGBUS there.
//
// A fork that was not prepared (a raw clone, a child's child) has nobody to end
// the child when this process ends: it is refused, and so is fork() if a raw
// clone was told meanwhile, for whose is whose is not told. What it has not got
// raises SIGBUS there.
// A raw clone must not be made while another thread moves far memory (mremap):
// it may have some where nobody here knows it to be, and reads zeros there.
//
// Thread-safe. Prepare .. Done is for one thread at a time.
#ifndef FARSWAP_CLIENT_PAGER_FORKS_FORKS_H_
#define FARSWAP_CLIENT_PAGER_FORKS_FORKS_H_

#include <array>
#include <functional>
#include <memory>
#include <vector>

#include "client/pager/fork_sink.h"
#include "client/pager/forks/forked_child.h"
#include "client/pager/map_events.h"
#include "client/pager/own_fd.h"
#include "client/pager/shared.h"
#include "client/pager/vacated.h"
#include "common/mutex.h"

namespace farswap::pager {

// What was told while a thread forked.
struct ForkWindow {
  std::vector<int> children;  // Userfaultfds: fork()'s, raw clones'.
  // As of Uffd::Forking.
  std::vector<MapEvent> unclear;
  bool settled = false;
};

class Forks final : public ForkSink {
 public:
  // Each has a thread, a descriptor or two and a copy of the page maps.
  static constexpr size_t kMaxChildren = 64;

  // `mm`: whose forks.
  Forks(Shared* shared, const Mm* mm);
  // REQUIRES: Stop.
  ~Forks() override;
  Forks(const Forks&) = delete;
  Forks& operator=(const Forks&) = delete;

  // The child's end, which the caller closes in the parent. -1: there is none
  // left.
  int Prepare();
  // To be called before any of these forks is applied.
  void Told(ForkWindow window);
  // The fork was applied, or there was none.
  void Done();

  void Apply(int uffd, const std::vector<AddressRange>& held,
             const std::function<void()>& copied) override;

  // Frees what children that are gone have left. For the background.
  void Reap();
  // The children are served no more: what they have not got raises SIGBUS.
  void Stop();

 private:
  static bool MakePair(std::array<OwnFd, 2>* ends);
  OwnFd TakeExpected();
  // Of that child; an empty one if it was told in none.
  ForkWindow WindowOf(int uffd) const;
  // Gives the child what it has.
  void Fill(ForkedChild* child, const ForkWindow& window,
            const std::vector<AddressRange>& held) const;
  void Refuse(ForkedChild* child, OwnFd socket);
  size_t children() const;

  Shared& shared_;
  const Mm& mm_;
  mutable Mutex mu_;
  // For when the system has none left.
  std::array<OwnFd, 2> spare_ ABSL_GUARDED_BY(mu_);
  OwnFd expected_ ABSL_GUARDED_BY(mu_);
  ForkWindow window_ ABSL_GUARDED_BY(mu_);
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<std::unique_ptr<ForkedChild>> children_ ABSL_GUARDED_BY(mu_);
};

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_FORKS_FORKS_H_

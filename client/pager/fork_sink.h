// Who is told of an address space's forks.
#ifndef FARSWAP_CLIENT_PAGER_FORK_SINK_H_
#define FARSWAP_CLIENT_PAGER_FORK_SINK_H_

#include <functional>
#include <vector>

#include "client/pager/vacated.h"

namespace farswap::pager {

class ForkSink {
 public:
  virtual ~ForkSink() = default;

  // A fork was told; takes over its userfaultfd. `held`: what nobody knows the
  // pages of. `copied` is called once the page maps are; until then the
  // descriptor is open, and operations on far memory are to be refused
  // (MapEvents). Takes block locks.
  virtual void Apply(int uffd, const std::vector<AddressRange>& held,
                     const std::function<void()>& copied) = 0;
};

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_FORK_SINK_H_

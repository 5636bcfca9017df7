// Poison for what a forked child is not to be given any more, before its
// userfaultfd is closed and the kernel gives it zeros.
#ifndef FARSWAP_CLIENT_PAGER_FORKS_POISON_RUNS_H_
#define FARSWAP_CLIENT_PAGER_FORKS_POISON_RUNS_H_

#include <vector>

#include "client/pager/uffd_forked.h"
#include "client/pager/vacated.h"

namespace farswap::pager {

// Whatever of the ranges the child has not got raises SIGBUS there from now on.
// It may run meanwhile: its changes of its map are read here, so what it moves
// is poisoned where it goes to, and what it forks is poisoned as well. False:
// it could not be done in time, and the descriptor must stay open. May take
// some seconds.
bool PoisonRuns(UffdForked* uffd, std::vector<AddressRange> runs);

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_FORKS_POISON_RUNS_H_

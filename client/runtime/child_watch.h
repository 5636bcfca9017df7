// A forked child's watch over the process that pages for it, its parent.
//
// When that ends, the kernel would give the child zeros for whatever is absent,
// as soon as the last descriptor of the child's userfaultfd is closed. So the
// child has one too, where its program cannot close it: in a thread with a
// descriptor table of its own. Faults wait then, until that thread, which sees
// the parent's end at once, has ended the child.
#ifndef FARSWAP_CLIENT_RUNTIME_CHILD_WATCH_H_
#define FARSWAP_CLIENT_RUNTIME_CHILD_WATCH_H_

#include <sys/types.h>

namespace farswap::runtime {

// Waits for what the pager says of this child's far memory, by the socket of
// Pager::PrepareFork, which it takes over; if it is served, watches from then
// on, or, where that is impossible, has it given up. Dies if the pager, the
// process `parent`, has ended. For the child's only thread, at the end of
// fork(), after Pager::InChild.
void WatchPager(int socket, pid_t parent);

}  // namespace farswap::runtime

#endif  // FARSWAP_CLIENT_RUNTIME_CHILD_WATCH_H_

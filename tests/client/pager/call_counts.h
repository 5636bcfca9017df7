// What the pager's workers ask of the kernel and of locks: the test's own
// definitions of the C library's functions count, and then do what the
// originals do. Production code is as it is; the real calls are counted, not
// those of a seam.
//
// Only threads named farswap-fault count: neither the program's, nor reclaim's,
// nor the test's server's.
#ifndef FARSWAP_TESTS_CLIENT_PAGER_CALL_COUNTS_H_
#define FARSWAP_TESTS_CLIENT_PAGER_CALL_COUNTS_H_

#include <cstdint>

namespace farswap::pager {

struct CallCounts {
  uint64_t ioctls = 0;    // userfaultfd's and pagemap's.
  uint64_t reads = 0;     // Of userfaultfd messages, or of none.
  uint64_t polls = 0;     // For the next message.
  uint64_t madvises = 0;  // Zaps.
  uint64_t locks = 0;     // Mutexes, and shared mutexes in either way.
};

// Since the process began.
CallCounts CallsOfWorkers();

}  // namespace farswap::pager

#endif  // FARSWAP_TESTS_CLIENT_PAGER_CALL_COUNTS_H_

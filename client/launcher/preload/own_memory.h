// The library's own mapping in a process: the mover's stack, the tag page, and
// transit. Nothing of it is ever far memory.
//
//   own_start                                                    own_end
//   | guard | stack | tag page | ... nothing ... | transit | ... |
//
// A forked child inherits the tag page alone, empty, and makes the rest anew at
// the same addresses.
#ifndef FARSWAP_CLIENT_LAUNCHER_PRELOAD_OWN_MEMORY_H_
#define FARSWAP_CLIENT_LAUNCHER_PRELOAD_OWN_MEMORY_H_

#include <cstdint>

#include "client/launcher/process_wire.h"

namespace farswap::launcher {

class OwnMemory {
 public:
  // Maps it; false: there is no address space.
  bool Map();
  // In a forked child; false: something else is there.
  bool MapAgain();
  bool mapped() const { return start_ != nullptr; }

  char* stack_end() const { return start_ + kGuardBytes + kStackBytes; }
  // Reads what is there; in a child whose parent was paged for it waits until
  // the pager has put it there.
  uint64_t ReadTag() const {
    return *reinterpret_cast<volatile const uint64_t*>(stack_end());
  }
  // Says where what is.
  void Tell(Hello* hello) const;

 private:
  static constexpr uint64_t kPage = 4096;
  static constexpr uint64_t kGuardBytes = kPage;
  static constexpr uint64_t kStackBytes = 8 * kPage;
  static constexpr uint64_t kAlignment = uint64_t{2} << 20;
  // Where transit lies depends on where the mapping does.
  static constexpr uint64_t kBytes =
      kGuardBytes + kStackBytes + kPage + kAlignment + kTransitBytes;

  char* transit() const;

  char* start_ = nullptr;
};

}  // namespace farswap::launcher

#endif  // FARSWAP_CLIENT_LAUNCHER_PRELOAD_OWN_MEMORY_H_

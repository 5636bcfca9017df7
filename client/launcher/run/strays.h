// Processes of the tree whose memory stays local: those that the preload
// library did not get into.
#ifndef FARSWAP_CLIENT_LAUNCHER_RUN_STRAYS_H_
#define FARSWAP_CLIENT_LAUNCHER_RUN_STRAYS_H_

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace farswap::launcher {

struct Stray {
  pid_t pid = 0;
  std::string name;
  std::string why;  // "is static", ...
};

class Strays {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // What the tree's processes have in $FARSWAP_RUN and in $LD_PRELOAD.
  Strays(std::string variable, std::string preload)
      : variable_(std::move(variable)), preload_(std::move(preload)) {}

  // Those below this process, but not at or below `pager`, that are found for
  // the first time. `known` says which have reported in; others are told by
  // the library's thread. A process between fork or exec and its first word is
  // none: it must be the same twice, or silent for ten seconds.
  std::vector<Stray> Look(pid_t pager, const std::function<bool(pid_t)>& known,
                          Time now);

  // Has been named already.
  void Ignore(pid_t pid);

  // Whether some process below this one may have far memory, or may yet come
  // to have it: is no stray.
  bool AnyMayReport(pid_t pager) const;
  // Whether one of them has not done so.
  bool AnyIsYetToReport(pid_t pager) const;

 private:
  struct Record {
    uint64_t start = 0;
    std::pair<uint64_t, uint64_t> program;  // Device and inode.
    std::string why;
    Time since;
    bool named = false;
    bool seen = false;
  };

  // Why the library is not in it; "" if it may be. Never "" with `silent`.
  std::string Why(pid_t pid, pid_t parent, bool silent) const;
  // Named, or sure to be.
  bool IsLocal(pid_t pid, pid_t parent) const;
  bool IsNew(pid_t pid, pid_t parent, uint64_t start, Time now);

  const std::string variable_;
  const std::string preload_;
  std::map<pid_t, Record> records_;
};

}  // namespace farswap::launcher

#endif  // FARSWAP_CLIENT_LAUNCHER_RUN_STRAYS_H_

// What all address spaces of a tree tell, in one stream: of each in its order.
//
// Thread-safe; Next is for one reader at a time.
#ifndef FARSWAP_CLIENT_PAGER_TREE_TREE_SOURCE_H_
#define FARSWAP_CLIENT_PAGER_TREE_TREE_SOURCE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "client/pager/message_source.h"
#include "client/pager/own_fd.h"
#include "client/pager/tree/process_mm.h"
#include "common/mutex.h"

namespace farswap::pager {

class TreeSource final : public MessageSource {
 public:
  TreeSource();

  bool valid() const { return epoll_.valid(); }
  // Its messages are read from now on.
  absl::Status Add(std::shared_ptr<ProcessMm> mm);
  void Remove(const ProcessMm& mm);
  std::vector<std::shared_ptr<ProcessMm>> All() const;

  int fd() const override { return epoll_.get(); }
  std::optional<Message> Next(const WaitSet& set) override;

 private:
  std::shared_ptr<ProcessMm> Find(uint64_t id) const;
  // Of the one that was read last, or of one that is readable.
  std::optional<Message> TryNext();

  const OwnFd epoll_;
  std::shared_ptr<ProcessMm> last_;  // The reader's.

  mutable Mutex mu_;
  std::unordered_map<uint64_t, std::shared_ptr<ProcessMm>> mms_
      ABSL_GUARDED_BY(mu_);
};

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_TREE_TREE_SOURCE_H_

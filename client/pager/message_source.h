// Where workers read: one userfaultfd, or those of several address spaces.
#ifndef FARSWAP_CLIENT_PAGER_MESSAGE_SOURCE_H_
#define FARSWAP_CLIENT_PAGER_MESSAGE_SOURCE_H_

#include <optional>

#include "client/pager/uffd_message.h"
#include "client/pager/wait_set.h"

namespace farswap::pager {

// For one reader at a time.
class MessageSource {
 public:
  virtual ~MessageSource() = default;

  // To be waited for; the source's.
  virtual int fd() const = 0;
  // Waits for a message, or until another one of the set is readable: then
  // nullopt. The first of the set is fd(). Between reading and returning
  // nothing can fail.
  virtual std::optional<Message> Next(const WaitSet& set) = 0;
};

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_MESSAGE_SOURCE_H_

// What happens around fork() (pthread_atfork): each pager of the process is
// told, and each child watches its pager.
//
// Thread-safe. A fork keeps others, and the making and ending of these, waiting
// until it is done.
#ifndef FARSWAP_CLIENT_RUNTIME_FORK_HANDLERS_H_
#define FARSWAP_CLIENT_RUNTIME_FORK_HANDLERS_H_

#include "client/pager/pager.h"

namespace farswap::runtime {

class ForkHandlers {
 public:
  explicit ForkHandlers(pager::Pager* pager);
  ~ForkHandlers();
  ForkHandlers(const ForkHandlers&) = delete;
  ForkHandlers& operator=(const ForkHandlers&) = delete;

 private:
  pager::Pager* const pager_;
};

}  // namespace farswap::runtime

#endif  // FARSWAP_CLIENT_RUNTIME_FORK_HANDLERS_H_

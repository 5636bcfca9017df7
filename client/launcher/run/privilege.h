// Whether this process may page for others.
#ifndef FARSWAP_CLIENT_LAUNCHER_RUN_PRIVILEGE_H_
#define FARSWAP_CLIENT_LAUNCHER_RUN_PRIVILEGE_H_

#include <string>

namespace farswap::launcher {

// "", or in one line what is missing and how to get it. Asked before anything
// is started; what else the kernel must have, the pager finds out.
std::string MissingPrivilege();

}  // namespace farswap::launcher

#endif  // FARSWAP_CLIENT_LAUNCHER_RUN_PRIVILEGE_H_

#ifndef FARSWAP_CLIENT_LAUNCHER_PRELOAD_PRIVILEGES_H_
#define FARSWAP_CLIENT_LAUNCHER_PRELOAD_PRIVILEGES_H_

namespace farswap::launcher::preload {

// Takes from this thread what it does not need, and for good: a program that
// gives up its own (setuid) does not reach a thread that libc does not know.
// What fails is left: less was allowed then.
void DropPrivileges();

}  // namespace farswap::launcher::preload

#endif  // FARSWAP_CLIENT_LAUNCHER_PRELOAD_PRIVILEGES_H_

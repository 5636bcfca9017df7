// One line on a stream that is the program's, for what it must know.
#ifndef FARSWAP_CLIENT_LAUNCHER_PRELOAD_SAY_H_
#define FARSWAP_CLIENT_LAUNCHER_PRELOAD_SAY_H_

#include <cstdint>

namespace farswap::launcher::preload {

// "farswap: TEXT", and "(errno ERROR)" unless that is 0. Nothing where `fd`
// would block, or raise SIGPIPE.
void Say(int fd, const char* text, int64_t error);

}  // namespace farswap::launcher::preload

#endif  // FARSWAP_CLIENT_LAUNCHER_PRELOAD_SAY_H_

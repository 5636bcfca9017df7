// What farswap-run says, on stderr.
#ifndef FARSWAP_CLIENT_LAUNCHER_RUN_SAY_H_
#define FARSWAP_CLIENT_LAUNCHER_RUN_SAY_H_

#include <string>

namespace farswap::launcher {

// "farswap-run: MESSAGE\n" by one write(2): the program writes there, too.
void Say(const std::string& message);

}  // namespace farswap::launcher

#endif  // FARSWAP_CLIENT_LAUNCHER_RUN_SAY_H_

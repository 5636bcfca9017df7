// Where the parts of an installation are, and the command.
#ifndef FARSWAP_CLIENT_LAUNCHER_RUN_PLACES_H_
#define FARSWAP_CLIENT_LAUNCHER_RUN_PLACES_H_

#include <string>

namespace farswap::launcher {

struct Place {
  std::string path;   // Absolute. Empty if it was not found:
  std::string error;  // then one line that says what would be right.
};

// libfarswap-preload.so: $FARSWAP_PRELOAD, beside this program, ../lib/farswap
// from there, or where it is built.
Place FindPreload();

// farswap-pager: $FARSWAP_PAGER, beside this program, ../libexec/farswap or
// ../bin from there, or where it is built.
Place FindPager();

struct CommandPlace {
  std::string path;
  // 0, or what a shell ends with: 127 if there is none, 126 if it cannot be
  // executed; then why.
  int exit = 0;
  std::string error;
};

// `name` as execvp(3) looks for it.
CommandPlace FindCommand(const std::string& name);

}  // namespace farswap::launcher

#endif  // FARSWAP_CLIENT_LAUNCHER_RUN_PLACES_H_

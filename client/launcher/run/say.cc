#include "client/launcher/run/say.h"

#include <unistd.h>

namespace farswap::launcher {

void Say(const std::string& message) {
  const std::string line = "farswap-run: " + message + "\n";
  // A line that cannot be written has nobody to be told.
  [[maybe_unused]] const ssize_t n =
      write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace farswap::launcher

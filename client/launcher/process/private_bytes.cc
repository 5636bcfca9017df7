#include "client/launcher/process/private_bytes.h"

#include <unistd.h>

#include <cinttypes>
#include <cstdio>

namespace farswap::launcher {

uint64_t PrivateBytes(int statm) {
  char text[128];
  const ssize_t n = pread(statm, text, sizeof(text) - 1, 0);
  if (n <= 0) return 0;
  text[n] = '\0';
  uint64_t resident = 0;
  uint64_t shared = 0;
  if (std::sscanf(text, "%*u %" SCNu64 " %" SCNu64, &resident, &shared) != 2) {
    return 0;
  }
  static const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  return resident > shared ? (resident - shared) * page : 0;
}

}  // namespace farswap::launcher

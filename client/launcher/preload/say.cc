#include "client/launcher/preload/say.h"

#include <poll.h>

#include "client/launcher/preload/raw_calls.h"

namespace farswap::launcher::preload {
namespace {

constexpr uint32_t kLineBytes = 256;  // Atomic on a pipe.

struct Line {
  char text[kLineBytes];
  uint32_t bytes;

  void Add(const char* more) {
    while (*more != '\0' && bytes < kLineBytes) text[bytes++] = *more++;
  }

  void AddNumber(uint64_t number) {
    char digits[21];
    uint32_t at = sizeof(digits) - 1;
    digits[at] = '\0';
    do {
      digits[--at] = static_cast<char>('0' + number % 10);
      number /= 10;
    } while (number != 0);
    Add(digits + at);
  }
};

}  // namespace

void Say(int fd, const char* text, int64_t error) {
  Line line;  // Not cleared: that would be a call of memset.
  line.bytes = 0;
  line.Add("farswap: ");
  line.Add(text);
  if (error != 0) {
    line.Add(" (errno ");
    line.AddNumber(static_cast<uint64_t>(error));
    line.Add(")");
  }
  line.Add("\n");
  pollfd ready = {fd, POLLOUT, 0};
  if (Call(SYS_poll, &ready, 1, 0) != 1 || ready.revents != POLLOUT) return;
  (void)Call(SYS_write, fd, line.text, line.bytes);
}

}  // namespace farswap::launcher::preload

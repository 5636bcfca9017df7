#include "common/log_raw.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>

namespace farswap {
namespace {

constexpr size_t kMaxLine = 1024;

const char* NameOf(LogLevel level) {
  switch (level) {
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kError:
      return "error";
  }
  return "?";
}

// vsnprintf of integers and strings takes no lock and no memory.
void WriteLine(const char* level, const char* format, va_list args) {
  char line[kMaxLine];
  const int head = snprintf(line, sizeof(line), "farswap: %s: ", level);
  const size_t room = sizeof(line) - static_cast<size_t>(head) - 1;
  const int wanted = vsnprintf(line + head, room, format, args);
  const size_t used =
      std::min(static_cast<size_t>(std::max(wanted, 0)), room - 1);
  const size_t end = static_cast<size_t>(head) + used;
  line[end] = '\n';
  // A log that cannot be written has nobody to be told.
  [[maybe_unused]] const ssize_t n = write(STDERR_FILENO, line, end + 1);
}

}  // namespace

void LogRaw(LogLevel level, const char* format, ...) {
  va_list args;
  va_start(args, format);
  WriteLine(NameOf(level), format, args);
  va_end(args);
}

bool LogLimiter::Allow(uint64_t* suppressed) {
  const int64_t now = std::chrono::steady_clock::now().time_since_epoch() /
                      std::chrono::nanoseconds(1);
  int64_t next = next_ns_.load(std::memory_order_relaxed);
  const int64_t period = seconds_ * 1'000'000'000;
  if (now < next || !next_ns_.compare_exchange_strong(next, now + period)) {
    suppressed_.fetch_add(1, std::memory_order_relaxed);
    return false;
  }
  *suppressed = suppressed_.exchange(0, std::memory_order_relaxed);
  return true;
}

void DieRaw(const char* format, ...) {
  va_list args;
  va_start(args, format);
  WriteLine("fatal", format, args);
  va_end(args);
  abort();
}

}  // namespace farswap

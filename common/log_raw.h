// Log lines of the client library, by one write(2) to stderr each.
//
// Not through stdio or a logging library: a thread of the program may hold
// stderr's lock while it waits for a page, and the thread that is to bring
// the page must not wait for that lock. No allocation either.
//
// Thread-safe. Lines longer than 1 KiB are cut.
#ifndef FARSWAP_COMMON_LOG_RAW_H_
#define FARSWAP_COMMON_LOG_RAW_H_

#include <atomic>
#include <cstdint>

namespace farswap {

enum class LogLevel { kInfo, kWarning, kError };

// Writes "farswap: <level>: <message>\n". printf's format.
void LogRaw(LogLevel level, const char* format, ...)
    __attribute__((format(printf, 2, 3)));

// At most one line every `seconds` for what repeats: a failing server, a
// refused page. One object a place, of static storage duration.
class LogLimiter {
 public:
  explicit constexpr LogLimiter(int64_t seconds) : seconds_(seconds) {}
  // Whether a line may be written now; `*suppressed` is how many were not
  // since the last.
  bool Allow(uint64_t* suppressed);

 private:
  const int64_t seconds_;
  std::atomic<int64_t> next_ns_{0};
  std::atomic<uint64_t> suppressed_{0};
};

// Writes the line and aborts the process: to go on would be worse.
[[noreturn]] void DieRaw(const char* format, ...)
    __attribute__((format(printf, 1, 2)));

}  // namespace farswap

#endif  // FARSWAP_COMMON_LOG_RAW_H_

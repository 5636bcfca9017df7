// How long a failed call waits before it is repeated: 20 ms, doubled up to
// 1 s. The first is about a restart of a connection, the last keeps a dead
// server's clients from hammering the one that comes back. Not thread-safe.
#ifndef FARSWAP_CLIENT_REMOTE_BACKOFF_H_
#define FARSWAP_CLIENT_REMOTE_BACKOFF_H_

#include <algorithm>
#include <chrono>

namespace farswap::remote {

inline constexpr std::chrono::milliseconds kFirstBackoff{20};
inline constexpr std::chrono::milliseconds kMaxBackoff{1000};
// Of what a server asks for, at most this is granted.
inline constexpr std::chrono::milliseconds kMaxServerDelay{5000};

class Backoff {
 public:
  // The next delay; not below what the server asked for.
  std::chrono::milliseconds Next(std::chrono::milliseconds server_delay) {
    const std::chrono::milliseconds own = next_;
    next_ = std::min(next_ * 2, kMaxBackoff);
    return std::max(own, std::min(server_delay, kMaxServerDelay));
  }

 private:
  std::chrono::milliseconds next_ = kFirstBackoff;
};

}  // namespace farswap::remote

#endif  // FARSWAP_CLIENT_REMOTE_BACKOFF_H_

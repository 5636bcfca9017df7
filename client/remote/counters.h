// The transport's counts, and its word to people when the server stops or
// starts answering. Thread-safe.
#ifndef FARSWAP_CLIENT_REMOTE_COUNTERS_H_
#define FARSWAP_CLIENT_REMOTE_COUNTERS_H_

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "client/remote/transport.h"
#include "common/log_raw.h"

namespace farswap::remote {

class Counters {
 public:
  explicit Counters(std::string server) : server_(std::move(server)) {}

  // A call was answered, be it with a refusal: the server is there.
  void Answered();
  // A call of that name was not, or in vain, and is repeated.
  void Repeated(std::string_view call, std::string_view why);

  TransportStats Snapshot() const;
  const std::string& server() const { return server_; }

  std::atomic<uint64_t> gets{0};
  std::atomic<uint64_t> puts{0};
  std::atomic<uint64_t> get_bytes{0};
  std::atomic<uint64_t> put_bytes{0};
  std::atomic<uint64_t> attaches{0};
  std::atomic<uint64_t> sessions_lost{0};

 private:
  const std::string server_;
  std::atomic<uint64_t> retries_{0};
  std::atomic<bool> connected_{true};
  std::atomic<bool> complained_{false};  // Since the last "answers again".
  LogLimiter limiter_{5};
};

}  // namespace farswap::remote

#endif  // FARSWAP_CLIENT_REMOTE_COUNTERS_H_

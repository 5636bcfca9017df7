#include "client/remote/counters.h"

namespace farswap::remote {

void Counters::Answered() {
  // Read first: one write a call would have every thread fight for the line.
  if (connected_.load(std::memory_order_relaxed)) return;
  if (connected_.exchange(true)) return;
  if (!complained_.exchange(false)) return;
  LogRaw(LogLevel::kInfo, "server %s answers again", server_.c_str());
}

void Counters::Repeated(std::string_view call, std::string_view why) {
  retries_.fetch_add(1, std::memory_order_relaxed);
  connected_.store(false, std::memory_order_relaxed);
  uint64_t suppressed = 0;
  if (!limiter_.Allow(&suppressed)) return;
  complained_.store(true);
  LogRaw(LogLevel::kWarning,
         "server %s: %.*s failed and is repeated: %.*s (%llu more such lines "
         "not written)",
         server_.c_str(), static_cast<int>(call.size()), call.data(),
         static_cast<int>(why.size()), why.data(),
         static_cast<unsigned long long>(suppressed));
}

TransportStats Counters::Snapshot() const {
  TransportStats stats;
  stats.gets = gets.load(std::memory_order_relaxed);
  stats.puts = puts.load(std::memory_order_relaxed);
  stats.get_bytes = get_bytes.load(std::memory_order_relaxed);
  stats.put_bytes = put_bytes.load(std::memory_order_relaxed);
  stats.retries = retries_.load(std::memory_order_relaxed);
  stats.attaches = attaches.load(std::memory_order_relaxed);
  stats.sessions_lost = sessions_lost.load(std::memory_order_relaxed);
  stats.connected = connected_.load(std::memory_order_relaxed);
  return stats;
}

}  // namespace farswap::remote

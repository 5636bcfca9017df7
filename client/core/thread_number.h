// A small number for each thread, for choosing one of a few shards.
#ifndef FARSWAP_CLIENT_CORE_THREAD_NUMBER_H_
#define FARSWAP_CLIENT_CORE_THREAD_NUMBER_H_

#include <atomic>
#include <cstdint>

namespace farswap::core {

// In the order of the threads' first calls; never reused, so take it modulo
// the number of shards.
inline uint32_t ThreadNumber() {
  static std::atomic<uint32_t> last{0};
  thread_local const uint32_t number =
      last.fetch_add(1, std::memory_order_relaxed);
  return number;
}

}  // namespace farswap::core

#endif  // FARSWAP_CLIENT_CORE_THREAD_NUMBER_H_

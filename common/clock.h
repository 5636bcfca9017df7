// The monotonic clock, behind a seam so that tests move time by hand.
#ifndef FARSWAP_COMMON_CLOCK_H_
#define FARSWAP_COMMON_CLOCK_H_

#include <chrono>

namespace farswap {

class Clock {
 public:
  using Time = std::chrono::steady_clock::time_point;

  virtual ~Clock() = default;
  // Thread-safe.
  virtual Time Now() const = 0;
};

class SteadyClock : public Clock {
 public:
  Time Now() const override { return std::chrono::steady_clock::now(); }
};

}  // namespace farswap

#endif  // FARSWAP_COMMON_CLOCK_H_

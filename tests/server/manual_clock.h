// A clock that stands still until it is told.
#ifndef FARSWAP_TESTS_SERVER_MANUAL_CLOCK_H_
#define FARSWAP_TESTS_SERVER_MANUAL_CLOCK_H_

#include <atomic>
#include <chrono>

#include "common/clock.h"

namespace farswap::server {

class ManualClock : public Clock {
 public:
  Time Now() const override {
    return Time(std::chrono::nanoseconds(now_ns_.load()));
  }
  void Advance(std::chrono::nanoseconds by) { now_ns_ += by.count(); }

 private:
  std::atomic<int64_t> now_ns_{int64_t{1} << 40};
};

}  // namespace farswap::server

#endif  // FARSWAP_TESTS_SERVER_MANUAL_CLOCK_H_

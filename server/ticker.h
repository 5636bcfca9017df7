// Calls a function about once a second, on a thread of its own.
#ifndef FARSWAP_SERVER_TICKER_H_
#define FARSWAP_SERVER_TICKER_H_

#include <chrono>
#include <functional>
#include <thread>

#include "common/mutex.h"

namespace farswap::server {

class Ticker {
 public:
  Ticker(std::chrono::milliseconds period, std::function<void()> tick)
      : period_(period), tick_(std::move(tick)), thread_([this] { Run(); }) {}
  Ticker(const Ticker&) = delete;
  Ticker& operator=(const Ticker&) = delete;

  // Waits for a call that is under way.
  ~Ticker() {
    {
      MutexLock lock(&mu_);
      stopping_ = true;
      stop_.SignalAll();
    }
    thread_.join();
  }

 private:
  void Run() {
    while (!WaitForStop()) tick_();
  }

  // Whether it is time to stop, rather than to tick.
  bool WaitForStop() {
    const auto until = std::chrono::steady_clock::now() + period_;
    MutexLock lock(&mu_);
    while (!stopping_ && stop_.WaitUntil(&mu_, until)) {
    }
    return stopping_;
  }

  const std::chrono::milliseconds period_;
  const std::function<void()> tick_;
  Mutex mu_;
  CondVar stop_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  // Last, so that what it uses is there when it begins.
  std::thread thread_;
};

}  // namespace farswap::server

#endif  // FARSWAP_SERVER_TICKER_H_

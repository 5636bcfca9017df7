// A put whose outcome a test waits for.
#ifndef FARSWAP_TESTS_CLIENT_REMOTE_WAITING_PUT_H_
#define FARSWAP_TESTS_CLIENT_REMOTE_WAITING_PUT_H_

#include <unistd.h>

#include <chrono>
#include <string>

#include "absl/status/status.h"
#include "client/remote/transport.h"
#include "common/mutex.h"

namespace farswap::remote {

class WaitingPut : public PutOp {
 public:
  void OnDone(const absl::Status& status) override {
    MutexLock lock(&mu_);
    thread_id_ = gettid();
    status_ = status;
    ++times_done_;
    cv_.SignalAll();
  }

  // `bytes` has to stay.
  void Start(Transport* transport, const FolioRef& folio,
             const std::string& bytes) {
    ref = folio;
    data = bytes.data();
    transport->StartPut(this);
  }

  absl::Status Wait() {
    MutexLock lock(&mu_);
    while (times_done_ == 0) cv_.Wait(&mu_);
    return status_;
  }
  bool WaitFor(std::chrono::milliseconds time) {
    const Deadline until = std::chrono::steady_clock::now() + time;
    MutexLock lock(&mu_);
    while (times_done_ == 0) {
      if (!cv_.WaitUntil(&mu_, until)) return false;
    }
    return true;
  }
  int times_done() {
    MutexLock lock(&mu_);
    return times_done_;
  }
  int thread_id() {
    MutexLock lock(&mu_);
    return thread_id_;
  }

 private:
  Mutex mu_;
  CondVar cv_;
  int times_done_ ABSL_GUARDED_BY(mu_) = 0;
  int thread_id_ ABSL_GUARDED_BY(mu_) = 0;
  absl::Status status_ ABSL_GUARDED_BY(mu_);
};

}  // namespace farswap::remote

#endif  // FARSWAP_TESTS_CLIENT_REMOTE_WAITING_PUT_H_

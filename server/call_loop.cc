#include "server/call_loop.h"

namespace farswap::server {

Call::Call(CallLoop* loop) : loop_(loop) {
  MutexLock lock(&loop_->mu_);
  ++loop_->calls_;
}

Call::~Call() {
  MutexLock lock(&loop_->mu_);
  if (arrived_) --loop_->under_way_;
  if (--loop_->calls_ == 0 || loop_->under_way_ == 0) {
    loop_->changed_.SignalAll();
  }
}

bool Call::Arrive() {
  MutexLock lock(&loop_->mu_);
  arrived_ = true;
  ++loop_->under_way_;
  return !loop_->quiescing_;
}

grpc::ServerCompletionQueue* Call::queue() const { return loop_->queue_.get(); }

CallLoop::~CallLoop() { Stop(); }

void CallLoop::Start(int threads) {
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Run(); });
}

void CallLoop::Run() {
  void* tag;
  bool ok;
  while (queue_->Next(&tag, &ok)) static_cast<Call*>(tag)->OnEvent(ok);
}

void CallLoop::Quiesce(std::chrono::steady_clock::time_point until) {
  MutexLock lock(&mu_);
  quiescing_ = true;
  while (under_way_ != 0 && changed_.WaitUntil(&mu_, until)) {
  }
}

void CallLoop::Stop() {
  if (threads_.empty()) {
    // Never started, or stopped before; the queue has to be drained anyway.
    queue_->Shutdown();
    Run();
    return;
  }
  {
    MutexLock lock(&mu_);
    while (calls_ != 0) changed_.Wait(&mu_);
  }
  queue_->Shutdown();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

}  // namespace farswap::server

#include "client/remote/shutdown_gate.h"

namespace farswap::remote {

void ShutdownGate::Shut() {
  MutexLock lock(&mu_);
  shut_ = true;
  for (grpc::ClientContext* call : calls_) call->TryCancel();
  changed_.SignalAll();
}

bool ShutdownGate::SleepUntil(Deadline until) {
  MutexLock lock(&mu_);
  while (!shut_ && changed_.WaitUntil(&mu_, until)) {
  }
  return !shut_;
}

void ShutdownGate::Add(grpc::ClientContext* call) {
  MutexLock lock(&mu_);
  calls_.insert(call);
  if (shut_) call->TryCancel();
}

void ShutdownGate::Remove(grpc::ClientContext* call) {
  MutexLock lock(&mu_);
  calls_.erase(call);
}

}  // namespace farswap::remote

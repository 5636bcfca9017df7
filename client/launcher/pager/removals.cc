#include "client/launcher/pager/removals.h"

#include <optional>
#include <utility>

#include "client/pager/thread.h"

namespace farswap::launcher {

absl::Status Removals::Start() {
  std::optional<std::thread> thread =
      pager::StartThread("farswap-remove", [this] { Run(); });
  if (!thread) {
    return absl::ResourceExhaustedError(
        "the system has no thread left; see ulimit -u");
  }
  thread_ = *std::move(thread);
  return absl::OkStatus();
}

Removals::~Removals() {
  {
    MutexLock lock(&mu_);
    stop_ = true;
  }
  work_.Signal();
  if (thread_.joinable()) thread_.join();
}

void Removals::Add(std::unique_ptr<Process> process) {
  std::shared_ptr<pager::ProcessMm> mm = process->mm();
  Queue({std::move(process), std::move(mm)});
}

void Removals::Add(std::shared_ptr<pager::ProcessMm> mm) {
  Queue({nullptr, std::move(mm)});
}

void Removals::Queue(Gone gone) {
  if (!thread_.joinable()) return End(gone);
  {
    MutexLock lock(&mu_);
    queue_.push_back(std::move(gone));
  }
  work_.Signal();
}

void Removals::End(const Gone& gone) {
  if (gone.process != nullptr) {
    // Its mover has gone, and so has its memory; else it would read zeros.
    (void)gone.mm->uffd().End("its mover has ended");
  }
  pager_.Remove(gone.mm);
}

void Removals::Run() {
  for (;;) {
    Gone gone;
    {
      MutexLock lock(&mu_);
      while (queue_.empty() && !stop_) work_.Wait(&mu_);
      if (queue_.empty()) return;
      gone = std::move(queue_.front());
      queue_.pop_front();
    }
    End(gone);
  }
}

}  // namespace farswap::launcher

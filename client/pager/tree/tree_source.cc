#include "client/pager/tree/tree_source.h"

#include <errno.h>
#include <sys/epoll.h>

#include <utility>

namespace farswap::pager {

TreeSource::TreeSource() : epoll_(epoll_create1(EPOLL_CLOEXEC)) {}

absl::Status TreeSource::Add(std::shared_ptr<ProcessMm> mm) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = mm->id();
  const int uffd = mm->uffd().fd();
  MutexLock lock(&mu_);
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, uffd, &event) != 0) {
    return absl::ErrnoToStatus(errno, "a userfaultfd cannot be waited for");
  }
  const uint64_t id = mm->id();
  mms_.emplace(id, std::move(mm));
  return absl::OkStatus();
}

void TreeSource::Remove(const ProcessMm& mm) {
  std::shared_ptr<ProcessMm> removed;  // Freed without the lock.
  MutexLock lock(&mu_);
  const auto it = mms_.find(mm.id());
  if (it == mms_.end()) return;
  removed = std::move(it->second);
  mms_.erase(it);
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, removed->uffd().fd(), nullptr);
}

std::vector<std::shared_ptr<ProcessMm>> TreeSource::All() const {
  std::vector<std::shared_ptr<ProcessMm>> all;
  MutexLock lock(&mu_);
  for (const auto& [id, mm] : mms_) all.push_back(mm);
  return all;
}

std::shared_ptr<ProcessMm> TreeSource::Find(uint64_t id) const {
  MutexLock lock(&mu_);
  const auto it = mms_.find(id);
  return it == mms_.end() ? nullptr : it->second;
}

std::optional<Message> TreeSource::TryNext() {
  // What was read with its last message is not told by its descriptor.
  if (last_ == nullptr || !last_->uffd().HasBuffered()) {
    epoll_event event{};
    if (epoll_wait(epoll_.get(), &event, 1, 0) != 1) return std::nullopt;
    last_ = Find(event.data.u64);
    if (last_ == nullptr) return std::nullopt;
  }
  std::optional<Message> message = last_->uffd().TryNextNoted();
  if (message) message->mm = last_;
  if (!last_->uffd().HasBuffered()) last_ = nullptr;
  return message;
}

std::optional<Message> TreeSource::Next(const WaitSet& set) {
  for (;;) {
    if (last_ != nullptr) {
      if (std::optional<Message> message = TryNext()) return message;
    }
    // No bound: the wait is for work, and the others of the set end it.
    const uint32_t ready = set.Wait(-1);
    if (ready > 1) return std::nullopt;
    if (ready == 0) continue;
    if (std::optional<Message> message = TryNext()) return message;
  }
}

}  // namespace farswap::pager

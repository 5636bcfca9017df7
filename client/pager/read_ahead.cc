#include "client/pager/read_ahead.h"

#include <unistd.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "client/pager/thread.h"

namespace farswap::pager {
namespace {

// How many of the `count` blocks from `first` on, in that direction, are the
// region's.
uint64_t Clip(const Region& region, uint64_t first, uint64_t count,
              int direction) {
  if (first >= region.blocks()) return 0;  // Past either end.
  const uint64_t room = direction > 0 ? region.blocks() - first : first + 1;
  return std::min(count, room);
}

}  // namespace

ReadAhead::ReadAhead(Read read) : read_(std::move(read)) {}

ReadAhead::~ReadAhead() { Stop(); }

absl::Status ReadAhead::Start() {
  for (size_t i = 0; i < kThreads; ++i) {
    std::optional<std::thread> thread =
        StartThread("farswap-ahead", [this, i] { Run(i); });
    if (!thread) {
      return absl::ResourceExhaustedError(
          "the system has no thread left for reading ahead: see ulimit -u and "
          "the cgroup's pids.max");
    }
    threads_.push_back(std::move(*thread));
  }
  return absl::OkStatus();
}

void ReadAhead::Stop() {
  {
    MutexLock lock(&mu_);
    stopping_ = true;
    streams_.clear();
    asked_.SignalAll();
  }
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

bool ReadAhead::IsOwn(int tid) const {
  return std::any_of(tids_.begin(), tids_.end(), [&](const auto& t) {
    return t.load(std::memory_order_relaxed) == tid;
  });
}

void ReadAhead::Ask(const std::shared_ptr<Region>& region, uint64_t block,
                    int direction) {
  MutexLock lock(&mu_);
  for (Stream& stream : streams_) {
    // `next` is on the way of this stream if the fault is not past it.
    const auto past = static_cast<int64_t>(stream.next - block) * direction;
    if (stream.region != region || stream.direction != direction || past < 1 ||
        past > static_cast<int64_t>(kBlocks) + 1) {
      continue;
    }
    const uint64_t want = kBlocks + 1 - static_cast<uint64_t>(past);
    stream.left = Clip(*region, stream.next, want, direction);
    asked_.SignalAll();
    return;
  }
  const uint64_t next = block + static_cast<uint64_t>(direction);
  const uint64_t left = Clip(*region, next, kBlocks, direction);
  if (left == 0 || stopping_) return;
  if (streams_.size() == kStreams) streams_.pop_front();
  streams_.push_back({region, next, left, direction});
  asked_.SignalAll();
}

bool ReadAhead::Take(Stream* step) {
  MutexLock lock(&mu_);
  for (;;) {
    if (stopping_) return false;
    const auto stream =
        std::find_if(streams_.begin(), streams_.end(),
                     [](const Stream& s) { return s.left > 0; });
    if (stream == streams_.end()) {
      // Nothing to do: no region is kept for it.
      streams_.clear();
      asked_.Wait(&mu_);
      continue;
    }
    *step = *stream;
    stream->next += static_cast<uint64_t>(stream->direction);
    --stream->left;
    // Each stream in turn.
    std::rotate(stream, stream + 1, streams_.end());
    return true;
  }
}

void ReadAhead::GiveUp(const Stream& step) {
  MutexLock lock(&mu_);
  std::erase_if(streams_, [&](const Stream& stream) {
    return stream.region == step.region && stream.direction == step.direction;
  });
}

void ReadAhead::Run(size_t index) {
  tids_[index].store(gettid(), std::memory_order_relaxed);
  Stream step;
  while (Take(&step)) {
    if (read_(step.region.get(), step.next) == Step::kNoRoom) GiveUp(step);
    step.region.reset();
  }
}

}  // namespace farswap::pager

#include "client/pager/staging.h"

#include <errno.h>
#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>

#include "absl/strings/str_cat.h"
#include "client/pager/mapping.h"
#include "common/log_raw.h"
#include "common/units.h"

namespace farswap::pager {

namespace {

// While an event of the program's is unread the kernel refuses to fill a page,
// and the reader never waits; memory may take longer.
constexpr std::chrono::seconds kFillWait{60};

}  // namespace

absl::StatusOr<std::unique_ptr<Staging>> Staging::Create(
    size_t bytes, AddressSpace* space,
    const std::function<absl::Status(char*, size_t)>& register_range) {
  auto staging = Map(bytes, space);
  if (!staging.ok()) return staging;
  const absl::Status status =
      register_range((*staging)->registered(), (*staging)->registered_bytes());
  if (!status.ok()) return status;
  return staging;
}

absl::StatusOr<std::unique_ptr<Staging>> Staging::CreatePlain(size_t bytes) {
  return Map(bytes, nullptr);
}

absl::StatusOr<std::unique_ptr<Staging>> Staging::Map(size_t bytes,
                                                      AddressSpace* space) {
  if (bytes < kMinBytes || bytes % kPmdBytes != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("staging of ", bytes,
                     " bytes: give a multiple of 2 MiB, "
                     "at least ",
                     kMinBytes));
  }
  const size_t blocks = bytes / kPmdBytes;
  // One in eight to receive into: captures refill the rest, and who gets no
  // 2 MiB buffer falls back to 64 KiB.
  const size_t nursery_blocks = std::max<size_t>(2, blocks / 8);
  const size_t capture_blocks = blocks - nursery_blocks;
  char* capture = MapAligned(capture_blocks * kPmdBytes);
  char* nursery = MapAligned(nursery_blocks * kPmdBytes);
  std::unique_ptr<Staging> staging(
      new Staging(capture, capture_blocks, nursery, nursery_blocks, space));
  if (capture == nullptr || nursery == nullptr) {
    return absl::ResourceExhaustedError("no address space for staging");
  }
  return staging;
}

Staging::Staging(char* capture, size_t capture_blocks, char* nursery,
                 size_t nursery_blocks, AddressSpace* space)
    : capture_(capture),
      capture_blocks_(capture_blocks),
      nursery_(nursery),
      nursery_blocks_(nursery_blocks),
      space_(space),
      blocks_(capture_blocks) {
  for (size_t i = 0; i < nursery_blocks_; ++i) {
    nursery_free_.push_back(nursery_ + i * kPmdBytes);
  }
}

Staging::~Staging() {
  if (capture_ != nullptr) munmap(capture_, capture_blocks_ * kPmdBytes);
  if (nursery_ != nullptr) munmap(nursery_, nursery_blocks_ * kPmdBytes);
}

char* Staging::GetEmpty(int order, SteadyTime until) {
  if (order == kPmdOrder) return GetEmptyBlock(until);
  return GetSmall(PagesOf(order), until);
}

void Staging::Put(char* buffer, int order, bool filled) {
  if (order < kPmdOrder) {
    PutSmall(buffer, PagesOf(order));
  } else if (filled) {
    MutexLock lock(&mu_);
    blocks_[BlockOf(buffer)].state = State::kFilled;
    freed_.SignalAll();
  } else {
    Empty(BlockOf(buffer));
  }
}

char* Staging::GetEmptyBlock(SteadyTime until) {
  std::optional<size_t> block;
  bool filled = false;
  {
    MutexLock lock(&mu_);
    while (!shutdown_ && !HasBlockLocked()) {
      if (!freed_.WaitUntil(&mu_, until)) break;
    }
    if (shutdown_) return nullptr;
    block = TakeLocked(State::kEmpty);
    if (!block) {
      block = TakeLocked(State::kFilled);
      if (!block) block = TakeLocked(State::kStale);
      filled = true;
    }
  }
  if (!block) return nullptr;
  // A private range of ours: nothing can be mapped over it, so the zap has no
  // race. What is given out as empty is: a page there has just been moved there
  // (AddressSpace::MoveOut).
  if (!filled || Zap(At(*block))) return At(*block);
  MutexLock lock(&mu_);
  blocks_[*block].state = State::kStale;
  return nullptr;
}

char* Staging::GetSmall(uint32_t pages, SteadyTime until) {
  for (;;) {
    std::optional<size_t> full;
    {
      MutexLock lock(&mu_);
      if (open_) {
        Block& block = blocks_[*open_];
        if (block.used + pages <= kPagesPerPmd) {
          char* const buffer = At(*open_) + block.used * kPageBytes;
          block.used += pages;
          block.outstanding += pages;
          return buffer;
        }
        if (block.outstanding == 0) full = open_;
        open_.reset();
      }
    }
    if (full) Empty(*full);
    char* const fresh = GetEmptyBlock(until);
    if (fresh == nullptr) return nullptr;
    MutexLock lock(&mu_);
    Block& block = blocks_[BlockOf(fresh)];
    if (open_) {  // Another thread was faster; ours is not needed.
      block.state = State::kEmpty;
      freed_.SignalAll();
      continue;
    }
    block = {State::kShared, 0, 0};
    open_ = BlockOf(fresh);
  }
}

void Staging::PutSmall(char* buffer, uint32_t pages) {
  const size_t index = BlockOf(buffer);
  {
    MutexLock lock(&mu_);
    Block& block = blocks_[index];
    block.outstanding -= pages;
    if (block.outstanding > 0 || open_ == index) return;
    block.state = State::kBusy;
  }
  Empty(index);
}

bool Staging::Zap(char* block) {
  return space_ == nullptr || space_->Zap(block, kPmdBytes).ok();
}

void Staging::Fill(char* page) {
  static const char zeros[kPageBytes] = {};
  if (space_ == nullptr) {
    std::memset(page, 0, kPageBytes);
    return;
  }
  const SteadyTime until = std::chrono::steady_clock::now() + kFillWait;
  for (;;) {
    const OpResult filled = space_->CopyIn(page, zeros, kPageBytes);
    if (filled.ok() || filled.error == EEXIST) return;
    const bool passes = filled.error == EAGAIN || filled.error == ENOMEM;
    if (!passes || std::chrono::steady_clock::now() > until) {
      DieRaw("staging cannot be filled: errno %d", filled.error);
    }
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
}

void Staging::Empty(size_t block) {
  const bool zapped = Zap(At(block));
  MutexLock lock(&mu_);
  blocks_[block] = Block();
  if (!zapped) blocks_[block].state = State::kStale;
  freed_.SignalAll();
}

Staging::Filled Staging::GetFilled() {
  MutexLock lock(&mu_);
  if (const std::optional<size_t> block = TakeLocked(State::kFilled)) {
    return {At(*block), /*zeroed=*/false};
  }
  if (nursery_free_.empty()) return {};
  char* const buffer = nursery_free_.back();
  nursery_free_.pop_back();
  return {buffer, /*zeroed=*/space_ != nullptr};
}

Staging::Left Staging::LeftAfter(OpResult moved) const {
  if (space_ == nullptr) return Left::kAll;
  if (moved.ok()) return Left::kNone;
  return moved.done > 0 ? Left::kSome : Left::kAll;
}

void Staging::PutReceived(char* buffer, Left left) {
  if (InNursery(buffer) && space_ != nullptr) {
    // Its next user expects zeros, and an empty block gives them.
    // Refused if the program locked all of its memory.
    if (left != Left::kNone && madvise(buffer, kPmdBytes, MADV_DONTNEED) != 0) {
      std::memset(buffer, 0, kPmdBytes);
    }
  }
  if (InNursery(buffer)) {
    MutexLock lock(&mu_);
    nursery_free_.push_back(buffer);
    return;
  }
  if (left == Left::kSome) return Empty(BlockOf(buffer));
  MutexLock lock(&mu_);
  blocks_[BlockOf(buffer)].state =
      left == Left::kNone ? State::kEmpty : State::kFilled;
  freed_.SignalAll();
}

size_t Staging::registered_bytes() const { return capture_blocks_ * kPmdBytes; }

bool Staging::Holds(const char* at) const {
  return at >= capture_ && at < capture_ + registered_bytes();
}

bool Staging::IsIdle() const {
  MutexLock lock(&mu_);
  return nursery_free_.size() == nursery_blocks_ &&
         std::all_of(blocks_.begin(), blocks_.end(), [](const Block& b) {
           return b.state != State::kBusy && b.outstanding == 0;
         });
}

void Staging::Shutdown() {
  MutexLock lock(&mu_);
  shutdown_ = true;
  freed_.SignalAll();
}

bool Staging::HasBlockLocked() const {
  return std::any_of(blocks_.begin(), blocks_.end(), [](const Block& b) {
    return b.state == State::kEmpty || b.state == State::kFilled ||
           b.state == State::kStale;
  });
}

std::optional<size_t> Staging::TakeLocked(State state) {
  for (size_t i = 0; i < blocks_.size(); ++i) {
    if (blocks_[i].state != state) continue;
    blocks_[i].state = State::kBusy;
    return i;
  }
  return std::nullopt;
}

char* Staging::At(size_t block) const { return capture_ + block * kPmdBytes; }

size_t Staging::BlockOf(const char* buffer) const {
  return static_cast<size_t>(buffer - capture_) / kPmdBytes;
}

bool Staging::InNursery(const char* buffer) const {
  return buffer >= nursery_ && buffer < nursery_ + nursery_blocks_ * kPmdBytes;
}

}  // namespace farswap::pager

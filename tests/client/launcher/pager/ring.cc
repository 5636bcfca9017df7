#include "tests/client/launcher/pager/ring.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>

namespace farswap::program {
namespace {

uint32_t Load(uint32_t* at) {
  return std::atomic_ref<uint32_t>(*at).load(std::memory_order_acquire);
}

void Store(uint32_t* at, uint32_t value) {
  std::atomic_ref<uint32_t>(*at).store(value, std::memory_order_release);
}

char* Map(int fd, size_t bytes, off_t what) {
  void* const at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_POPULATE, fd, what);
  return at == MAP_FAILED ? nullptr : static_cast<char*>(at);
}

}  // namespace

Ring::Ring(bool polled) : polled_(polled) {
  if (polled) {
    params_.flags = IORING_SETUP_SQPOLL;
    params_.sq_thread_idle = 1;  // ms; so that it is woken, too.
  }
  fd_ = static_cast<int>(syscall(SYS_io_uring_setup, kEntries, &params_));
  if (fd_ < 0 || (params_.features & IORING_FEAT_SINGLE_MMAP) == 0) return;
  rings_bytes_ =
      std::max(params_.sq_off.array + params_.sq_entries * sizeof(uint32_t),
               params_.cq_off.cqes + params_.cq_entries * sizeof(io_uring_cqe));
  entries_ = reinterpret_cast<io_uring_sqe*>(
      Map(fd_, params_.sq_entries * sizeof(io_uring_sqe), IORING_OFF_SQES));
  if (entries_ != nullptr) rings_ = Map(fd_, rings_bytes_, IORING_OFF_SQ_RING);
}

Ring::~Ring() {
  if (rings_ != nullptr) munmap(rings_, rings_bytes_);
  if (entries_ != nullptr) {
    munmap(entries_, params_.sq_entries * sizeof(io_uring_sqe));
  }
  if (fd_ >= 0) close(fd_);
}

bool Ring::Register(const std::vector<iovec>& buffers) const {
  return syscall(SYS_io_uring_register, fd_, IORING_REGISTER_BUFFERS,
                 buffers.data(), buffers.size()) == 0;
}

void Ring::Add(bool write, int file, char* at, size_t bytes, uint64_t offset,
               int buffer) {
  uint32_t* const tail = At(params_.sq_off.tail);
  const uint32_t index = *tail & *At(params_.sq_off.ring_mask);
  io_uring_sqe sqe{};
  if (buffer >= 0) {
    sqe.opcode = write ? IORING_OP_WRITE_FIXED : IORING_OP_READ_FIXED;
    sqe.buf_index = static_cast<uint16_t>(buffer);
  } else {
    sqe.opcode = write ? IORING_OP_WRITE : IORING_OP_READ;
  }
  sqe.fd = file;
  sqe.addr = reinterpret_cast<uint64_t>(at);
  sqe.len = static_cast<uint32_t>(bytes);
  sqe.off = offset;
  entries_[index] = sqe;
  At(params_.sq_off.array)[index] = index;
  Store(tail, *tail + 1);
  ++added_;
}

bool Ring::Submit() {
  submitted_ += added_;
  const uint32_t count = added_;
  added_ = 0;
  if (!polled_) {
    return syscall(SYS_io_uring_enter, fd_, count, 0, 0, nullptr, 0) == count;
  }
  std::atomic_thread_fence(std::memory_order_seq_cst);
  const bool sleeps =
      (Load(At(params_.sq_off.flags)) & IORING_SQ_NEED_WAKEUP) != 0;
  return !sleeps || syscall(SYS_io_uring_enter, fd_, count, 0,
                            IORING_ENTER_SQ_WAKEUP, nullptr, 0) >= 0;
}

bool Ring::Await(size_t bytes) {
  bool right = true;
  uint32_t* const head = At(params_.cq_off.head);
  for (; submitted_ > 0; --submitted_) {
    while (*head == Load(At(params_.cq_off.tail))) {
      if (syscall(SYS_io_uring_enter, fd_, 0, 1, IORING_ENTER_GETEVENTS,
                  nullptr, 0) < 0 &&
          errno != EINTR) {
        return false;
      }
    }
    const auto* const done =
        reinterpret_cast<io_uring_cqe*>(rings_ + params_.cq_off.cqes);
    const int32_t result = done[*head & *At(params_.cq_off.ring_mask)].res;
    Store(head, *head + 1);
    if (result == static_cast<int32_t>(bytes)) continue;
    std::fprintf(stderr, "an operation of the ring: %d\n", result);
    right = false;
  }
  return right;
}

}  // namespace farswap::program

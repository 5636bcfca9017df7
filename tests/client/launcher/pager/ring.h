// io_uring by its system calls.
#ifndef FARSWAP_TESTS_CLIENT_LAUNCHER_PAGER_RING_H_
#define FARSWAP_TESTS_CLIENT_LAUNCHER_PAGER_RING_H_

#include <linux/io_uring.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace farswap::program {

// For one thread.
class Ring {
 public:
  static constexpr uint32_t kEntries = 8;

  // `polled`: a thread of the kernel's submits (SQPOLL).
  explicit Ring(bool polled);
  ~Ring();
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;

  bool valid() const { return fd_ >= 0 && rings_ != nullptr; }
  // The buffers that kFixed operations name by their index; pinned from now on.
  bool Register(const std::vector<iovec>& buffers) const;

  // Adds an operation; at most kEntries before Run. `buffer`: -1, or of a
  // registered one that `at` is in.
  void Add(bool write, int file, char* at, size_t bytes, uint64_t offset,
           int buffer);
  // Submits them. False if the kernel refuses.
  bool Submit();
  // Waits for all that were submitted. Whether each did all its bytes.
  bool Await(size_t bytes);

 private:
  uint32_t* At(uint32_t offset) const {
    return reinterpret_cast<uint32_t*>(rings_ + offset);
  }

  int fd_ = -1;
  const bool polled_;
  io_uring_params params_{};
  char* rings_ = nullptr;  // Both.
  size_t rings_bytes_ = 0;
  io_uring_sqe* entries_ = nullptr;
  uint32_t added_ = 0;
  uint32_t submitted_ = 0;
};

}  // namespace farswap::program

#endif  // FARSWAP_TESTS_CLIENT_LAUNCHER_PAGER_RING_H_

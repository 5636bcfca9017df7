// What the test program does by name; each returns what it exits with: 0 if
// every byte was right, 1 if one was not, 3 if it could not do what it was to.
#ifndef FARSWAP_TESTS_CLIENT_LAUNCHER_PAGER_PROGRAM_H_
#define FARSWAP_TESTS_CLIENT_LAUNCHER_PAGER_PROGRAM_H_

#include <cstddef>
#include <cstdint>

namespace farswap::program {

inline constexpr int kRight = 0;
inline constexpr int kWrong = 1;
inline constexpr int kCannot = 3;

// The word at that place, of that pass.
inline uint64_t Mix(uint64_t place, uint64_t pass) {
  uint64_t x = place + pass * 0x9e3779b97f4a7c15ULL + 1;
  x ^= x >> 33;
  x *= 0xff51afd7ed558ccdULL;
  x ^= x >> 33;
  return x;
}

// Private anonymous memory, every word of which is told from every other.
class Memory {
 public:
  explicit Memory(size_t mib);
  ~Memory();
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  void Fill(uint64_t pass);
  // Of the whole, or of words [first, end).
  bool IsRight(uint64_t pass) const { return IsRight(pass, 0, words_); }
  bool IsRight(uint64_t pass, size_t first, size_t end) const;

  uint64_t* data() { return data_; }
  const uint64_t* data() const { return data_; }
  size_t words() const { return words_; }
  size_t bytes() const { return words_ * sizeof(uint64_t); }

 private:
  uint64_t* data_;
  size_t words_;
};

// Writes half of the memory to a file by io_uring, and reads the other half
// from it. `flags`: of the file; `polled`: a thread of the kernel's submits.
int Uring(size_t mib, int flags, bool polled);
// The same by a few registered buffers, which the kernel pins.
int UringFixed(size_t mib);

// What becomes of a child: its exit status, or kCannot.
int StatusOf(int pid);

}  // namespace farswap::program

#endif  // FARSWAP_TESTS_CLIENT_LAUNCHER_PAGER_PROGRAM_H_

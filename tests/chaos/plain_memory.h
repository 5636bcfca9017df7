// Memory as any program has it: of mmap. What makes it far, if anything does,
// is outside of the process.
#ifndef FARSWAP_TESTS_CHAOS_PLAIN_MEMORY_H_
#define FARSWAP_TESTS_CHAOS_PLAIN_MEMORY_H_

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <new>
#include <shared_mutex>
#include <string>

#include "tests/chaos/far_memory.h"
#include "tests/chaos/stripe.h"

namespace farswap::chaos {

// Thread-safe. What it maps, whoever uses it unmaps, wherever it is by then.
class PlainMemory final : public FarMemory {
 public:
  // `lossy`: as the program's, for the one that is executed.
  PlainMemory(uint64_t bytes, bool lossy, Counts* counts)
      : lossy_(lossy), counts_(*counts) {
    void* const at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) std::abort();
    address_ = static_cast<char*>(at);
  }

  char* address() const override { return address_; }
  bool is_plain() const override { return true; }
  bool Pin(uint64_t, uint64_t) override { return false; }
  bool Unpin(uint64_t, uint64_t) override { return false; }
  bool Prefetch(uint64_t, uint64_t) override { return false; }
  bool Cold(uint64_t, uint64_t) override { return false; }
  bool Discard(uint64_t, uint64_t) override { return false; }

  // Every other one while nobody changes the map: then all is clear.
  pid_t Fork(bool* unclear) override {
    *unclear = turns_++ % 2 != 0;
    std::shared_lock some(changing(), std::defer_lock);
    std::unique_lock all(changing(), std::defer_lock);
    if (*unclear) {
      some.lock();
    } else {
      all.lock();
    }
    const pid_t child = fork();
    if (child == 0) {
      // Threads that are not here may have it.
      some.release();
      all.release();
      new (&changing()) std::shared_mutex;
    }
    return child;
  }

  // This program for a second. One at a time, of all there are, as each has as
  // much memory as the first: it has the lock until it, and what it forks, end.
  void Exec(uint64_t seed) override {
    const int lock = open("/proc/self/exe", O_RDONLY);
    if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB) != 0) {
      close(lock);
      return;
    }
    ++counts_.execs;
    execl("/proc/self/exe", "plain_program", std::to_string(seed).c_str(), "1",
          lossy_ ? "lossy" : "kept", nullptr);
    _exit(127);
  }

 private:
  const bool lossy_;
  Counts& counts_;
  char* address_;
  std::atomic<int> turns_{0};
};

}  // namespace farswap::chaos

#endif  // FARSWAP_TESTS_CHAOS_PLAIN_MEMORY_H_

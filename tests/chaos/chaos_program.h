// The chaos program: eight threads do to far memory whatever a program may do,
// each to stripes of its own, so that it knows what every page has to read as.
// Their forked children go on for a while with what they were left.
#ifndef FARSWAP_TESTS_CHAOS_CHAOS_PROGRAM_H_
#define FARSWAP_TESTS_CHAOS_CHAOS_PROGRAM_H_

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <random>
#include <thread>
#include <vector>

#include "tests/chaos/far_memory.h"
#include "tests/chaos/stripe.h"

namespace farswap::chaos {

// A test is rounds: each with memory of its own, since what the program has
// unmapped is far memory no more. One, and with FARSWAP_TEST_LONG=1 twenty:
// five minutes.
inline constexpr std::chrono::seconds kRound{15};
int Rounds();
// FARSWAP_TEST_SEED, which repeats a run as far as threads can be repeated, or
// a random one; printed.
uint64_t PickSeed();

void Print(const Counts& counts);

// Owns counts that forked children add to as well.
class SharedCounts {
 public:
  SharedCounts();
  ~SharedCounts();
  SharedCounts(const SharedCounts&) = delete;
  SharedCounts& operator=(const SharedCounts&) = delete;

  Counts* get() const { return counts_; }
  Counts* operator->() const { return counts_; }
  const Counts& operator*() const { return *counts_; }

 private:
  Counts* counts_;
};

// One round's.
class Program {
 public:
  static constexpr int kThreads = 8;
  static constexpr int kStripes = 32;  // A thread's.
  // Of the memory it needs, and what of it is to be local: 4:1.
  static constexpr uint64_t kBytes = kThreads * kStripes * Stripe::kBytes;
  static constexpr uint64_t kLimit = kBytes / 4;

  // `forks`: the process may be told of forks, and is not under ASan, whose
  // allocator a child may find locked.
  Program(FarMemory* memory, uint64_t seed, bool lossy, bool forks,
          Counts* counts);
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  ~Program();

  void Start();
  // Lets every thread check all it has, and waits for them. If they are not
  // done minutes after kRound, whoever hangs, the process is ended and says
  // what each was doing.
  void Stop();

 private:
  struct Thread {
    std::thread thread;
    std::mt19937_64 random;
    std::vector<Stripe> stripes;
    pid_t child = 0;       // 0: none.
    bool unclear = false;  // What it has.
    std::atomic<const char*> doing{"nothing yet"};
    std::atomic<bool> done{false};
  };
  // Hints are the parent's, and of a region.
  enum class Where { kAll, kHints, kPlain };
  // A kind of step, and how often of all weights together it is done.
  struct Kind {
    const char* name;
    int weight;
    Where where;
    void (*run)(std::mt19937_64* random, Stripe* stripe);
  };
  static const std::vector<Kind>& Kinds();

  void Run(Thread* thread);
  bool IsFor(Where where) const;
  void Step(Thread* thread, Stripe* stripe);
  // Forks, and looks at the child before the next one.
  void Fork(Thread* thread);
  [[noreturn]] void BeChild(Thread* thread);
  void AwaitChild(Thread* thread);
  bool IsDone() const;
  void Watch() const;

  FarMemory& memory_;
  const bool forks_;
  Counts& counts_;
  bool is_child_ = false;
  std::array<Thread, kThreads> threads_;
  std::thread watchdog_;
  std::atomic<bool> stop_{false};
};

}  // namespace farswap::chaos

#endif  // FARSWAP_TESTS_CHAOS_CHAOS_PROGRAM_H_

#include "tests/chaos/chaos_program.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <string>

#include "tests/chaos/guarded.h"

namespace farswap::chaos {
namespace {

using Random = std::mt19937_64;

// Every page is read once more at the end, under sanitizers on busy machines.
constexpr std::chrono::minutes kPatience{4};

// A thread forks at one of so many visits of a stripe.
constexpr uint64_t kVisitsAFork = 64;
constexpr int kStepsOfAChild = 200;
constexpr uint64_t kChildrenAnExec = 8;
// More than a server is ever away, and less than kPatience.
constexpr unsigned kChildSeconds = 120;

uint64_t AnyPage(Random* random) { return (*random)() % Stripe::kPages; }

struct Range {
  uint64_t page;
  uint64_t count;
};

Range AnyRange(Random* random, uint64_t most) {
  const uint64_t page = AnyPage(random);
  return {page, std::min(1 + (*random)() % most, Stripe::kPages - page)};
}

void Discard(Random* random, Stripe* stripe, int advice) {
  const Range range = AnyRange(random, 32);
  stripe->Discard(range.page, range.count, advice);
}

// For a while only: what is protected stays where it is, and is charged.
void Protect(Random* random, Stripe* stripe) {
  stripe->SetReadOnly(true);
  for (int i = 0; i < 8; ++i) stripe->Check(AnyPage(random));
  stripe->SetReadOnly(false);
}

using Hint = void (Stripe::*)(uint64_t page, uint64_t count);

template <Hint hint>
void Give(Random* random, Stripe* stripe) {
  const Range range = AnyRange(random, 16);
  (stripe->*hint)(range.page, range.count);
}

}  // namespace

int Rounds() {
  const char* const is_long = std::getenv("FARSWAP_TEST_LONG");
  return is_long != nullptr && std::atoi(is_long) != 0 ? 20 : 1;
}

uint64_t PickSeed() {
  const char* const given = std::getenv("FARSWAP_TEST_SEED");
  const uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10)
                                         : std::random_device()();
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  return seed;
}

// Parts of 4112. One more kind of step is one more line here, and a function of
// Stripe's that keeps the model: afterwards every page of it is still what
// Check expects.
const std::vector<Program::Kind>& Program::Kinds() {
  static const std::vector<Kind> kinds = {
      {"write", 1792, Where::kAll,
       [](Random* r, Stripe* s) { s->Write(AnyPage(r), (*r)() | 1); }},
      {"read", 1791, Where::kAll,
       [](Random* r, Stripe* s) { s->Check(AnyPage(r)); }},
      {"discard", 64, Where::kAll,
       [](Random* r, Stripe* s) { Discard(r, s, MADV_DONTNEED); }},
      {"free", 64, Where::kAll,
       [](Random* r, Stripe* s) { Discard(r, s, MADV_FREE); }},
      {"protect", 64, Where::kAll, Protect},
      {"lock", 64, Where::kAll,
       [](Random*, Stripe* s) { s->SetLocked(!s->locked()); }},
      {"advise huge", 64, Where::kAll,
       [](Random* r, Stripe* s) { s->AdviseHuge((*r)() % 2 == 0); }},
      {"move", 64, Where::kAll, [](Random*, Stripe* s) { s->Move(); }},
      {"prefetch", 32, Where::kHints, Give<&Stripe::Prefetch>},
      {"cold", 32, Where::kHints, Give<&Stripe::Cold>},
      {"pin", 32, Where::kHints, Give<&Stripe::Pin>},
      {"discard by hint", 32, Where::kHints, Give<&Stripe::DiscardByHint>},
      {"replace", 1, Where::kAll,
       [](Random* r, Stripe* s) { s->Replace(AnyPage(r)); }},
      {"renew", 16, Where::kPlain, [](Random*, Stripe* s) { s->Renew(); }},
  };
  return kinds;
}

SharedCounts::SharedCounts() {
  void* const at = mmap(nullptr, sizeof(Counts), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) std::abort();
  counts_ = new (at) Counts;
}

SharedCounts::~SharedCounts() { munmap(counts_, sizeof(Counts)); }

Program::Program(FarMemory* memory, uint64_t seed, bool lossy, bool forks,
                 Counts* counts)
    : memory_(*memory), forks_(forks), counts_(*counts) {
  CatchSigbus();
  for (int t = 0; t < kThreads; ++t) {
    threads_[t].random.seed(seed + t);
    for (int s = 0; s < kStripes; ++s) {
      // Each block is of eight threads: what one does to it meets the others.
      const uint64_t offset = (s * kThreads + t) * Stripe::kBytes;
      threads_[t].stripes.emplace_back(memory, offset, lossy, counts);
    }
  }
}

Program::~Program() { Stop(); }

void Program::Start() {
  for (Thread& thread : threads_) {
    thread.thread = std::thread([this, &thread] { Run(&thread); });
  }
  watchdog_ = std::thread([this] { Watch(); });
}

bool Program::IsFor(Where where) const {
  if (where == Where::kAll) return true;
  if (where == Where::kPlain) return memory_.is_plain();
  return !is_child_ && !memory_.is_plain();
}

void Program::Step(Thread* thread, Stripe* stripe) {
  int total = 0;
  for (const Kind& kind : Kinds()) total += kind.weight;
  int pick = static_cast<int>(thread->random() % total);
  for (const Kind& kind : Kinds()) {
    pick -= kind.weight;
    if (pick >= 0) continue;
    if (!IsFor(kind.where)) break;
    thread->doing = kind.name;
    kind.run(&thread->random, stripe);
    break;
  }
  ++counts_.steps;
}

void Program::Fork(Thread* thread) {
  thread->doing = "waiting for its child";
  AwaitChild(thread);
  thread->doing = "fork";
  thread->unclear = false;
  const pid_t child = memory_.Fork(&thread->unclear);
  if (child == 0) BeChild(thread);
  if (child < 0) {
    std::perror("fork");
    ++counts_.wrong;
    return;
  }
  thread->child = child;
  ++counts_.forks;
}

// Has this thread, and all far memory as its parent had it; of that it knows
// its own thread's. A fault that nobody answers is killed.
void Program::BeChild(Thread* thread) {
  alarm(kChildSeconds);
  is_child_ = true;
  thread->random.seed(thread->random() + 1);
  for (Stripe& stripe : thread->stripes) stripe.BeInherited(thread->unclear);
  for (int i = 0; i < kStepsOfAChild;) {
    Stripe& stripe = thread->stripes[thread->random() % kStripes];
    for (int k = 0; k < 16; ++k, ++i) {
      if (!stripe.gone()) Step(thread, &stripe);
    }
    if (!stripe.gone()) stripe.CheckAll();
  }
  if (thread->random() % kChildrenAnExec == 0) {
    memory_.Exec(thread->random());
  }
  _exit(0);
}

void Program::AwaitChild(Thread* thread) {
  if (thread->child == 0) return;
  int status = 0;
  pid_t ended = 0;
  do {
    ended = waitpid(thread->child, &status, 0);
  } while (ended < 0 && errno == EINTR);
  if (ended == thread->child && thread->unclear && status == SIGKILL) {
    ++counts_.unclear;
  } else if (ended != thread->child || status != 0) {
    std::fprintf(stderr, "wrong: child %d ended with status %#x\n",
                 thread->child, status);
    ++counts_.wrong;
  }
  thread->child = 0;
}

void Program::Run(Thread* thread) {
  while (!stop_) {
    // Some locality, so that folios of all sizes come and go.
    if (forks_ && thread->random() % kVisitsAFork == 0) Fork(thread);
    Stripe& stripe = thread->stripes[thread->random() % kStripes];
    for (int i = 0; i < 16 && !stop_ && !stripe.gone(); ++i) {
      Step(thread, &stripe);
    }
  }
  thread->doing = "waiting for its last child";
  AwaitChild(thread);
  thread->doing = "the last check";
  for (Stripe& stripe : thread->stripes) {
    if (stripe.gone()) continue;
    if (stripe.locked()) stripe.SetLocked(false);
    stripe.CheckAll();
    stripe.Leave();
  }
  thread->done = true;
}

bool Program::IsDone() const {
  return std::all_of(threads_.begin(), threads_.end(),
                     [](const Thread& t) { return t.done.load(); });
}

void Program::Stop() {
  stop_ = true;
  for (Thread& thread : threads_) {
    if (thread.thread.joinable()) thread.thread.join();
  }
  if (watchdog_.joinable()) watchdog_.join();
}

void Program::Watch() const {
  const auto until = std::chrono::steady_clock::now() + kRound + kPatience;
  while (!IsDone()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    if (std::chrono::steady_clock::now() < until) continue;
    std::fprintf(stderr, "not done in time; %s\n",
                 stop_ ? "asked to stop" : "not asked to stop");
    for (const Thread& thread : threads_) {
      std::fprintf(stderr, "a thread %s: %s\n",
                   thread.done ? "is done" : "is at", thread.doing.load());
    }
    std::abort();
  }
}

void Print(const Counts& counts) {
  const auto print = [](const char* what, const std::atomic<uint64_t>& count) {
    std::printf("%s %s, ", std::to_string(count).c_str(), what);
  };
  print("steps", counts.steps);
  print("reads", counts.reads);
  print("writes", counts.writes);
  print("moves", counts.moves);
  print("forks", counts.forks);
  print("execs", counts.execs);
  print("SIGBUS", counts.sigbus);
  print("unclear", counts.unclear);
  std::printf("%s wrong\n", std::to_string(counts.wrong).c_str());
}

}  // namespace farswap::chaos

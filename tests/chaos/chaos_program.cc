#include "tests/chaos/chaos_program.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "tests/chaos/guarded.h"

namespace farswap::chaos {
namespace {

using Random = std::mt19937_64;

// Every page is read once more at the end, under sanitizers on busy machines.
constexpr std::chrono::minutes kPatience{4};

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

void Hint(Random* random, Stripe* stripe) {
  const Range range = AnyRange(random, 16);
  switch ((*random)() % 4) {
    case 0:
      return stripe->Prefetch(range.page, range.count);
    case 1:
      return stripe->Cold(range.page, range.count);
    case 2:
      return stripe->Pin(range.page, range.count);
    default:
      return stripe->DiscardByHint(range.page, range.count);
  }
}

}  // namespace

std::chrono::seconds RunTime() {
  const char* const is_long = std::getenv("FARSWAP_TEST_LONG");
  const bool tier = is_long != nullptr && std::atoi(is_long) != 0;
  return std::chrono::seconds(tier ? 300 : 15);
}

uint64_t PickSeed() {
  const char* const given = std::getenv("FARSWAP_TEST_SEED");
  const uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10)
                                         : std::random_device()();
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  return seed;
}

// One more kind of step is one more line here, and a function of Stripe's that
// keeps the model: afterwards every page of it is still what Check expects.
const std::vector<Program::Kind>& Program::Kinds() {
  static const std::vector<Kind> kinds = {
      {"write", 432,
       [](Random* r, Stripe* s) { s->Write(AnyPage(r), (*r)() | 1); }},
      {"read", 432, [](Random* r, Stripe* s) { s->Check(AnyPage(r)); }},
      {"discard", 16,
       [](Random* r, Stripe* s) { Discard(r, s, MADV_DONTNEED); }},
      {"free", 16, [](Random* r, Stripe* s) { Discard(r, s, MADV_FREE); }},
      {"protect", 16, Protect},
      {"lock", 16, [](Random*, Stripe* s) { s->SetLocked(!s->locked()); }},
      {"advise huge", 16,
       [](Random* r, Stripe* s) { s->AdviseHuge((*r)() % 2 == 0); }},
      {"move", 16, [](Random*, Stripe* s) { s->Move(); }},
      {"hint", 32, Hint},
      {"replace", 1, [](Random* r, Stripe* s) { s->Replace(AnyPage(r)); }},
  };
  return kinds;
}

Program::Program(FarMemory* memory, uint64_t seed, bool lossy) {
  CatchSigbus();
  for (int t = 0; t < kThreads; ++t) {
    threads_[t].random.seed(seed + t);
    for (int s = 0; s < kStripes; ++s) {
      // Each block is of eight threads: what one does to it meets the others.
      const uint64_t offset = (s * kThreads + t) * Stripe::kBytes;
      threads_[t].stripes.emplace_back(memory, offset, lossy, &counts_);
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

void Program::Step(Thread* thread, Stripe* stripe) {
  int total = 0;
  for (const Kind& kind : Kinds()) total += kind.weight;
  int pick = static_cast<int>(thread->random() % total);
  for (const Kind& kind : Kinds()) {
    pick -= kind.weight;
    if (pick >= 0) continue;
    thread->doing = kind.name;
    kind.run(&thread->random, stripe);
    break;
  }
  ++counts_.steps;
}

void Program::Run(Thread* thread) {
  while (!stop_) {
    // Some locality, so that folios of all sizes come and go.
    Stripe& stripe = thread->stripes[thread->random() % kStripes];
    for (int i = 0; i < 16 && !stop_ && !stripe.gone(); ++i) {
      Step(thread, &stripe);
    }
  }
  thread->doing = "the last check";
  for (Stripe& stripe : thread->stripes) {
    if (stripe.locked()) stripe.SetLocked(false);
    stripe.CheckAll();
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
  const auto until = std::chrono::steady_clock::now() + RunTime() + kPatience;
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

void Program::Print() const {
  const auto print = [](const char* what, const std::atomic<uint64_t>& count) {
    std::printf("%s %s, ", std::to_string(count).c_str(), what);
  };
  print("steps", counts_.steps);
  print("reads", counts_.reads);
  print("writes", counts_.writes);
  print("moves", counts_.moves);
  print("SIGBUS", counts_.sigbus);
  std::printf("%s wrong\n", std::to_string(counts_.wrong).c_str());
}

}  // namespace farswap::chaos

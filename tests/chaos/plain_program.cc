// The chaos program as a program that knows nothing of far memory:
//
//     plain_program SEED SECONDS kept|lossy
//
// Exits with 0 if every byte was right, and with 1 if one was not, or one
// raised SIGBUS though nothing was to be lost ("kept").
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <thread>

#include "tests/chaos/chaos_program.h"
#include "tests/chaos/plain_memory.h"

namespace farswap::chaos {
namespace {

using Clock = std::chrono::steady_clock;

void RunRound(uint64_t seed, bool lossy, Clock::time_point until,
              Counts* counts) {
  PlainMemory memory(Program::kBytes, lossy, counts);
  Program program(&memory, seed, lossy, /*forks=*/true, counts);
  program.Start();
  std::this_thread::sleep_until(std::min(until, Clock::now() + kRound));
  program.Stop();
}

int Main(int argc, char** argv) {
  if (argc != 4) return 3;
  const uint64_t seed = std::strtoull(argv[1], nullptr, 10);
  const auto until = Clock::now() + std::chrono::seconds(std::atoi(argv[2]));
  const bool lossy = std::string_view(argv[3]) == "lossy";
  const SharedCounts counts;
  for (int round = 0; Clock::now() < until && counts->wrong == 0; ++round) {
    RunRound(seed + round * 1000, lossy, until, counts.get());
  }
  std::printf("seed %s: ", argv[1]);
  Print(*counts);
  return counts->wrong != 0 || (!lossy && counts->sigbus != 0) ? 1 : 0;
}

}  // namespace
}  // namespace farswap::chaos

int main(int argc, char** argv) { return farswap::chaos::Main(argc, argv); }

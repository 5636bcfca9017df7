// Threads that read random pages of far memory, all of it several times their
// local limit: page faults served a second, by number of threads.
//
//   fault_rate --servers=ADDR [--bytes=SIZE] [--local-memory=SIZE]
//              [--threads=N,...] [--seconds=N]
//
// Prints one JSON object: per number of threads the faults and the reads a
// second; pages that read wrong (exit code 1 if any); and what the memory
// counted.
#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <iostream>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "common/size.h"
#include "common/units.h"
#include "tests/bench/memory.h"
#include "tests/bench/pages.h"

namespace farswap::bench {
namespace {

struct Options {
  std::string servers;
  std::string bytes = "256MiB";
  std::string local_memory = "64MiB";
  std::vector<int> threads = {1, 2, 4, 8};
  int seconds = 3;
};

constexpr uint64_t kSeed = 1;

// Reads random pages until it is told to stop.
struct Reader {
  void Run(const uint64_t* words, uint64_t pages, uint64_t seed,
           const std::atomic<bool>* stop) {
    std::mt19937_64 random(seed);
    while (!stop->load(std::memory_order_relaxed)) {
      const uint64_t page = random() % pages;
      wrong += !PageHolds(words + page * kWordsPerPage, page, kSeed);
      ++reads;
    }
  }

  uint64_t reads = 0;
  uint64_t wrong = 0;
};

uint64_t Faults(Memory& memory) {
  return nlohmann::json::parse(memory.StatsJson())["faults"];
}

nlohmann::json RunThreads(Memory& memory, uint64_t pages, int count,
                          int seconds) {
  const auto* words = reinterpret_cast<const uint64_t*>(memory.data());
  std::vector<Reader> readers(static_cast<size_t>(count));
  std::vector<std::thread> threads;
  std::atomic<bool> stop{false};
  const uint64_t before = Faults(memory);
  const auto start = std::chrono::steady_clock::now();
  for (Reader& reader : readers) {
    threads.emplace_back(
        [&, seed = threads.size()] { reader.Run(words, pages, seed, &stop); });
  }
  std::this_thread::sleep_for(std::chrono::seconds(seconds));
  stop = true;
  for (std::thread& thread : threads) thread.join();
  const uint64_t faults = Faults(memory) - before;
  const std::chrono::duration<double> took =
      std::chrono::steady_clock::now() - start;
  Reader all;
  for (const Reader& reader : readers) {
    all.reads += reader.reads;
    all.wrong += reader.wrong;
  }
  return {{"threads", count},
          {"faults_per_second", static_cast<double>(faults) / took.count()},
          {"reads_per_second", static_cast<double>(all.reads) / took.count()},
          {"wrong_pages", all.wrong}};
}

int Run(const Options& options) {
  const absl::StatusOr<uint64_t> bytes = ParseSize(options.bytes);
  const absl::StatusOr<uint64_t> limit = ParseSize(options.local_memory);
  if (!bytes.ok() || !limit.ok()) {
    std::cerr << "fault_rate: --bytes, --local-memory: write sizes as 256MiB\n";
    return 2;
  }
  auto memory =
      MapFar(*bytes, {.servers = options.servers, .local_limit = *limit});
  if (!memory.ok()) {
    std::cerr << "fault_rate: " << memory.status().message() << "\n";
    return 2;
  }
  auto* words = reinterpret_cast<uint64_t*>((*memory)->data());
  const uint64_t pages = *bytes / kPageBytes;
  for (uint64_t page = 0; page < pages; ++page) {
    FillPage(words + page * kWordsPerPage, page, kSeed);
  }
  nlohmann::json result = {{"bytes", *bytes}, {"local_bytes", *limit}};
  uint64_t wrong = 0;
  for (const int threads : options.threads) {
    result["runs"].push_back(
        RunThreads(**memory, pages, threads, options.seconds));
    wrong += result["runs"].back()["wrong_pages"].get<uint64_t>();
  }
  result["stats"] = nlohmann::json::parse((*memory)->StatsJson());
  std::cout << result.dump() << std::endl;
  return wrong == 0 ? 0 : 1;
}

}  // namespace
}  // namespace farswap::bench

int main(int argc, char** argv) {
  farswap::bench::Options options;
  CLI::App app("Faults served a second, by number of threads");
  app.add_option("--servers", options.servers, "the server's address")
      ->required();
  app.add_option("--bytes", options.bytes, "size of the memory");
  app.add_option("--local-memory", options.local_memory, "the limit");
  app.add_option("--threads", options.threads, "numbers of threads")
      ->delimiter(',')
      ->check(CLI::Range(1, 256));
  app.add_option("--seconds", options.seconds, "of each number of threads")
      ->check(CLI::Range(1, 3600));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return farswap::bench::Run(options);
}

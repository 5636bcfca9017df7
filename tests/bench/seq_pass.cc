// Writes memory once and reads it through several times, in order, checking
// every byte: what a scan over a data set larger than local memory does.
//
//   seq_pass --memory=plain|far --bytes=SIZE [--passes=N] [--seed=N]
//            [--servers=ADDR --local-memory=SIZE]
//
// Prints one JSON object: MB/s (10^6 bytes) of the write and of each pass,
// pages that read wrong (exit code 1 if any), and what the memory counted.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdint>
#include <iostream>
#include <nlohmann/json.hpp>

#include "absl/status/statusor.h"
#include "common/size.h"
#include "common/units.h"
#include "tests/bench/memory.h"
#include "tests/bench/pages.h"

namespace farswap::bench {
namespace {

struct Options {
  std::string memory = "plain";
  std::string bytes = "512MiB";
  std::string local_memory = "256MiB";
  std::string servers;
  int passes = 3;
  uint64_t seed = 1;
};

// MB/s of `work` over `bytes`.
template <typename Work>
double Rate(uint64_t bytes, Work work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  const std::chrono::duration<double> took =
      std::chrono::steady_clock::now() - start;
  return static_cast<double>(bytes) / 1e6 / took.count();
}

absl::StatusOr<std::unique_ptr<Memory>> Map(const Options& options,
                                            uint64_t bytes) {
  if (options.memory == "plain") return MapPlain(bytes);
  const absl::StatusOr<uint64_t> limit = ParseSize(options.local_memory);
  if (!limit.ok()) return limit.status();
  return MapFar(bytes, {.servers = options.servers, .local_limit = *limit});
}

nlohmann::json Measure(Memory& memory, uint64_t bytes, const Options& options) {
  auto* words = reinterpret_cast<uint64_t*>(memory.data());
  const uint64_t pages = bytes / kPageBytes;
  const double write = Rate(bytes, [&] {
    for (uint64_t page = 0; page < pages; ++page) {
      FillPage(words + page * kWordsPerPage, page, options.seed);
    }
  });
  uint64_t wrong_pages = 0;
  nlohmann::json reread = nlohmann::json::array();
  for (int pass = 0; pass < options.passes; ++pass) {
    reread.push_back(Rate(bytes, [&] {
      for (uint64_t page = 0; page < pages; ++page) {
        const uint64_t* at = words + page * kWordsPerPage;
        wrong_pages += !PageHolds(at, page, options.seed);
      }
    }));
  }
  return {{"memory", options.memory},
          {"bytes", bytes},
          {"write_mb_s", write},
          {"reread_mb_s", reread},
          {"wrong_pages", wrong_pages}};
}

int Run(const Options& options) {
  const absl::StatusOr<uint64_t> bytes = ParseSize(options.bytes);
  if (!bytes.ok() || *bytes % kPageBytes != 0) {
    std::cerr << "seq_pass: --bytes: "
              << (bytes.ok() ? "not a multiple of 4KiB"
                             : bytes.status().message())
              << "\n";
    return 2;
  }
  absl::StatusOr<std::unique_ptr<Memory>> memory = Map(options, *bytes);
  if (!memory.ok()) {
    std::cerr << "seq_pass: " << memory.status().message() << "\n";
    return 2;
  }
  nlohmann::json result = Measure(**memory, *bytes, options);
  result["stats"] = nlohmann::json::parse((*memory)->StatsJson());
  std::cout << result.dump() << std::endl;
  return result["wrong_pages"] == 0 ? 0 : 1;
}

}  // namespace
}  // namespace farswap::bench

int main(int argc, char** argv) {
  farswap::bench::Options options;
  CLI::App app("Writes memory and reads it through in order, checking it");
  app.add_option("--memory", options.memory, "plain or far")
      ->check(CLI::IsMember({"plain", "far"}));
  app.add_option("--bytes", options.bytes, "size of the memory");
  app.add_option("--passes", options.passes)->check(CLI::Range(1, 1000));
  app.add_option("--seed", options.seed);
  app.add_option("--servers", options.servers, "far: the server's address");
  app.add_option("--local-memory", options.local_memory, "far: the limit");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return farswap::bench::Run(options);
}

// Drives the reclaim policy that ships, and others, over named traces.
//
//   policy_bench [--pages=N] [--seed=N] [--trace=NAME...] [--policy=NAME...]
//                [--json]
//
// Counts, no times: the same on every machine. Misses (hard faults) are given
// beside those of LRU and FIFO at the same memory; soft faults beside misses;
// `us` is what all faults after the first touches cost, an access
// (policy_run.h). With --json, one object a line, of one policy and trace.
#include <CLI/CLI.hpp>
#include <cstdint>
#include <iomanip>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/bench/policy_run.h"
#include "tests/bench/policy_trace.h"

namespace farswap::bench {
namespace {

struct Options {
  uint32_t pages = 1 << 17;
  uint64_t seed = 1;
  std::vector<std::string> traces = PolicyTraceNames();
  std::vector<std::string> policies = PolicyNames();
  bool json = false;
};

double Ratio(uint64_t a, uint64_t b) {
  return b == 0 ? 0 : static_cast<double>(a) / static_cast<double>(b);
}

class Report {
 public:
  Report(const PolicyTrace& trace, const Options& options)
      : trace_(trace),
        options_(options),
        lru_(RunPolicy("lru", trace)),
        fifo_(RunPolicy("fifo", trace)) {}

  void Head() const {
    std::cout << "\n"
              << trace_.name << ": " << trace_.accesses.size()
              << " accesses of " << trace_.pages << " pages, " << trace_.memory
              << " local, seed " << options_.seed << "\n"
              << std::left << std::setw(14) << "policy" << std::right
              << std::setw(10) << "misses" << std::setw(8) << "/LRU"
              << std::setw(8) << "/FIFO" << std::setw(10) << "soft"
              << std::setw(12) << "soft/miss" << std::setw(10) << "unmaps"
              << std::setw(9) << "us"
              << "\n";
  }
  void Row(const std::string& policy, const PolicyCost& cost) const {
    std::cout << std::fixed << std::setprecision(3) << std::left
              << std::setw(14) << policy << std::right << std::setw(10)
              << cost.hard << std::setw(8) << Ratio(cost.hard, lru_.hard)
              << std::setw(8) << Ratio(cost.hard, fifo_.hard) << std::setw(10)
              << cost.soft << std::setw(12) << Ratio(cost.soft, cost.hard)
              << std::setw(10) << cost.unmaps << std::setw(9) << Micros(cost)
              << "\n";
  }
  void Json(const std::string& policy, const PolicyCost& cost) const {
    std::cout << nlohmann::json(
                     {{"trace", trace_.name},
                      {"policy", policy},
                      {"seed", options_.seed},
                      {"accesses", trace_.accesses.size()},
                      {"pages", trace_.pages},
                      {"local_pages", trace_.memory},
                      {"first_touches", cost.first},
                      {"misses", cost.hard},
                      {"misses_of_lru", Ratio(cost.hard, lru_.hard)},
                      {"misses_of_fifo", Ratio(cost.hard, fifo_.hard)},
                      {"soft_faults", cost.soft},
                      {"unmaps", cost.unmaps},
                      {"us_per_access", Micros(cost)}})
                     .dump()
              << "\n";
  }

 private:
  double Micros(const PolicyCost& cost) const {
    return PolicyMicros(cost) / static_cast<double>(trace_.accesses.size());
  }

  const PolicyTrace& trace_;
  const Options& options_;
  const PolicyCost lru_, fifo_;
};

void Run(const Options& options) {
  for (const std::string& name : options.traces) {
    const PolicyTrace trace =
        MakePolicyTrace(name, options.pages, options.seed);
    const Report report(trace, options);
    if (!options.json) report.Head();
    for (const std::string& policy : options.policies) {
      const PolicyCost cost = RunPolicy(policy, trace);
      if (options.json) {
        report.Json(policy, cost);
      } else {
        report.Row(policy, cost);
      }
    }
    std::cout << std::flush;
  }
}

}  // namespace
}  // namespace farswap::bench

int main(int argc, char** argv) {
  farswap::bench::Options options;
  CLI::App app("Drives reclaim policies over traces of page accesses");
  app.add_option("--pages", options.pages, "size of what is accessed")
      ->check(CLI::Range(1024, (1 << 24) - 1));
  app.add_option("--seed", options.seed);
  app.add_option("--trace", options.traces)
      ->check(CLI::IsMember(farswap::bench::PolicyTraceNames()));
  app.add_option("--policy", options.policies)
      ->check(CLI::IsMember(farswap::bench::PolicyNames()));
  app.add_flag("--json", options.json, "one JSON object a line");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  farswap::bench::Run(options);
  return 0;
}

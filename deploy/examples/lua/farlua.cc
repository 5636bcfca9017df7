// farlua: the Lua interpreter with its heap in far memory.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>

#include "deploy/examples/lua/heap.h"
#include "deploy/examples/lua/options.h"
#include "deploy/examples/lua/script.h"

namespace farswap::farlua {
namespace {

struct Run {
  Options options;
  std::unique_ptr<Heap> heap;
  std::chrono::steady_clock::time_point begin;
};

// Ended by AtExit, whether main returns or the script calls os.exit.
Run* run = nullptr;

bool WriteStats() {
  const std::chrono::duration<double> elapsed =
      std::chrono::steady_clock::now() - run->begin;
  auto json = nlohmann::ordered_json::parse(run->heap->StatsJson());
  json["heap_bytes"] = run->heap->bytes();
  json["heap_peak_bytes"] = run->heap->peak_bytes();
  json["elapsed_seconds"] = elapsed.count();
  json["local_limit_bytes"] =
      run->options.plain ? 0 : run->options.local_memory;
  std::ofstream file(run->options.stats);
  file << json.dump(2) << '\n';
  file.close();
  return !file.fail();
}

void AtExit() {
  const bool written = run->options.stats.empty() || WriteStats();
  if (!written) {
    std::fprintf(stderr, "farlua: cannot write --stats=%s\n",
                 run->options.stats.c_str());
  }
  run->heap.reset();
  if (!written) {
    // The script's output is not to be lost by the change of exit status.
    std::fflush(nullptr);
    std::_Exit(1);
  }
}

int Main(int argc, char** argv) {
  Options options;
  if (const int status = ParseOptions(argc, argv, &options); status >= 0) {
    return status;
  }
  auto heap = Heap::Create(options);
  if (!heap.ok()) {
    std::fprintf(stderr, "farlua: %s\n",
                 std::string(heap.status().message()).c_str());
    return 1;
  }
  run = new Run{options, *std::move(heap), std::chrono::steady_clock::now()};
  std::atexit(AtExit);
  return RunScript(run->heap.get(), run->options.script);
}

}  // namespace
}  // namespace farswap::farlua

int main(int argc, char** argv) { return farswap::farlua::Main(argc, argv); }

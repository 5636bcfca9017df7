#include "tests/integration/smaps_sampler.h"

#include <algorithm>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <fstream>
#include <string>

namespace farswap {

Smaps ReadSmaps(const void* begin, uint64_t bytes) {
  const auto first = reinterpret_cast<uint64_t>(begin);
  Smaps sum;
  bool within = false;
  std::ifstream file("/proc/self/smaps");
  for (std::string line; std::getline(file, line);) {
    uint64_t from = 0;
    uint64_t to = 0;
    uint64_t kib = 0;
    if (std::sscanf(line.c_str(), "%" SCNx64 "-%" SCNx64 " ", &from, &to) ==
        2) {
      within = from < first + bytes && to > first;
    } else if (within &&
               std::sscanf(line.c_str(), "Rss: %" SCNu64, &kib) == 1) {
      sum.resident_bytes += kib << 10;
    } else if (within && std::sscanf(line.c_str(), "AnonHugePages: %" SCNu64,
                                     &kib) == 1) {
      sum.huge_bytes += kib << 10;
    }
  }
  return sum;
}

SmapsSampler::SmapsSampler(const void* begin, uint64_t bytes,
                           uint64_t busy_bytes)
    : begin_(begin),
      bytes_(bytes),
      busy_bytes_(busy_bytes),
      thread_([this] { Run(); }) {}

void SmapsSampler::Stop() {
  stop_ = true;
  if (thread_.joinable()) thread_.join();
}

void SmapsSampler::Run() {
  while (!stop_) {
    const Smaps now = ReadSmaps(begin_, bytes_);
    ++samples_;
    busy_samples_ += now.resident_bytes > busy_bytes_ ? 1 : 0;
    peak_.resident_bytes = std::max(peak_.resident_bytes, now.resident_bytes);
    peak_.huge_bytes = std::max(peak_.huge_bytes, now.huge_bytes);
    // A reading holds up page faults; the program is to have its share.
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

}  // namespace farswap

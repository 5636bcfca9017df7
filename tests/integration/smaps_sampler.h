// What the kernel says is resident of an address range, watched by a thread.
#ifndef FARSWAP_TESTS_INTEGRATION_SMAPS_SAMPLER_H_
#define FARSWAP_TESTS_INTEGRATION_SMAPS_SAMPLER_H_

#include <atomic>
#include <cstdint>
#include <thread>

namespace farswap {

// One reading of /proc/self/smaps, added up over the mappings of a range.
struct Smaps {
  uint64_t resident_bytes = 0;  // Rss
  uint64_t huge_bytes = 0;      // AnonHugePages
};
Smaps ReadSmaps(const void* begin, uint64_t bytes);

// Reads again and again from construction to Stop, and keeps the most it saw.
class SmapsSampler {
 public:
  // A reading with more than `busy_bytes` resident counts as busy.
  SmapsSampler(const void* begin, uint64_t bytes, uint64_t busy_bytes);
  ~SmapsSampler() { Stop(); }
  SmapsSampler(const SmapsSampler&) = delete;
  SmapsSampler& operator=(const SmapsSampler&) = delete;

  void Stop();

  // After Stop.
  uint64_t samples() const { return samples_; }
  uint64_t busy_samples() const { return busy_samples_; }
  const Smaps& peak() const { return peak_; }

 private:
  void Run();

  const void* const begin_;
  const uint64_t bytes_;
  const uint64_t busy_bytes_;
  std::atomic<bool> stop_{false};
  uint64_t samples_ = 0;
  uint64_t busy_samples_ = 0;
  Smaps peak_;
  std::thread thread_;
};

}  // namespace farswap

#endif  // FARSWAP_TESTS_INTEGRATION_SMAPS_SAMPLER_H_

#include "tests/bench/policy_trace.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <random>
#include <utility>

#include "common/check.h"
#include "common/units.h"

namespace farswap::bench {
namespace {

constexpr double kTheta = 0.99;
constexpr int kRounds = 20;  // Accesses of each page, on average.

// Draws ranks 0 .. n - 1, the lower the more often.
class Zipf {
 public:
  explicit Zipf(uint32_t n) {
    sums_.reserve(n);
    double sum = 0;
    for (uint32_t i = 1; i <= n; ++i) {
      sum += 1 / std::pow(i, kTheta);
      sums_.push_back(sum);
    }
  }
  uint32_t Draw(std::mt19937_64* random) const {
    const double at =
        static_cast<double>((*random)() >> 11) * 0x1p-53 * sums_.back();
    const auto it = std::upper_bound(sums_.begin(), sums_.end(), at);
    return static_cast<uint32_t>(std::min<size_t>(
        static_cast<size_t>(it - sums_.begin()), sums_.size() - 1));
  }

 private:
  std::vector<double> sums_;
};

class Maker {
 public:
  Maker(PolicyTrace* trace, uint64_t seed) : trace_(*trace), random_(seed) {}

  void Zipfian(bool drift);
  void Scan();
  void Redis(bool zipf);
  void Sort();
  void Phases(bool random);
  void AfterZipf();
  void Loop();

 private:
  void Touch(uint32_t page) { trace_.accesses.push_back(page); }
  void Fill() {
    for (uint32_t page = 0; page < trace_.pages; ++page) Touch(page);
  }
  uint32_t Random(uint32_t bound) {
    return static_cast<uint32_t>(random_() % bound);
  }
  std::vector<uint32_t> Shuffled(uint32_t n) {
    std::vector<uint32_t> order(n);
    std::iota(order.begin(), order.end(), 0u);
    for (uint32_t i = n - 1; i > 0; --i) std::swap(order[i], order[Random(i)]);
    return order;
  }
  void SortRange(uint32_t from, uint32_t to);

  PolicyTrace& trace_;
  std::mt19937_64 random_;
};

void Maker::Zipfian(bool drift) {
  const uint32_t n = trace_.pages;
  trace_.memory = n / 2;
  Fill();
  const Zipf zipf(n);
  std::vector<uint32_t> page = Shuffled(n);
  for (int round = 0; round < kRounds; ++round) {
    if (drift && round % 4 == 0) {
      for (uint32_t rank = 0; rank < n / 4; ++rank) {
        std::swap(page[rank], page[Random(n)]);
      }
    }
    for (uint32_t i = 0; i < n; ++i) Touch(page[zipf.Draw(&random_)]);
  }
}

void Maker::Scan() {
  const uint32_t n = trace_.pages;
  trace_.memory = n / 4;
  Fill();
  const uint32_t hot = trace_.memory / 2;
  uint32_t scan = hot;
  for (uint32_t i = 0; i < kRounds * n; ++i) {
    if (Random(4) != 0) {
      Touch(Random(hot));
      continue;
    }
    Touch(scan);
    if (++scan == n) scan = hot;
  }
}

// A key has a pointer of 8 bytes in the hash table, whose size is a power of
// two; an entry of 32 bytes; an object of 16; and, as 1 KiB and its header fit
// no smaller class of jemalloc's, 1280 bytes of value, read whole.
void Maker::Redis(bool zipf) {
  constexpr uint64_t kValue = 1280;
  constexpr uint64_t kRead = 1032;
  constexpr int kKeysPerPage = 3;  // 4096 / (1280 + 32 + 16 + 8 to 16).
  const uint32_t keys = trace_.pages * kKeysPerPage;
  uint32_t buckets = 1;
  while (buckets < keys) buckets *= 2;
  const uint32_t entries = buckets / (kPageBytes / 8);
  const uint32_t objects = entries + keys / (kPageBytes / 32) + 1;
  const uint32_t values = objects + keys / (kPageBytes / 16) + 1;
  trace_.pages = values + keys * kValue / kPageBytes + 1;
  trace_.memory = static_cast<uint32_t>(uint64_t{trace_.pages} * 7 / 10);
  const std::vector<uint32_t> hash = Shuffled(keys);
  const auto get = [&](uint32_t key) {
    const uint64_t bucket = uint64_t{hash[key]} * buckets / keys;
    Touch(static_cast<uint32_t>(bucket / (kPageBytes / 8)));
    Touch(entries + key / (kPageBytes / 32));
    Touch(objects + key / (kPageBytes / 16));
    const uint64_t value = key * kValue;
    for (uint64_t page = value / kPageBytes;
         page <= (value + kRead - 1) / kPageBytes; ++page) {
      Touch(values + static_cast<uint32_t>(page));
    }
  };
  for (uint32_t key = 0; key < keys; ++key) get(key);
  const Zipf ranks(zipf ? keys : 1);
  const std::vector<uint32_t> ranked = Shuffled(keys);
  for (uint32_t i = 0; i < keys * (kRounds / 4); ++i) {
    get(zipf ? ranked[ranks.Draw(&random_)] : Random(keys));
  }
}

// Merges through a buffer behind the data, and copies back. A page of each
// range and of the buffer is in use at a time, each twice a page merged.
void Maker::SortRange(uint32_t from, uint32_t to) {
  if (to - from <= 1) return Touch(from);
  const uint32_t middle = from + (to - from) / 2;
  SortRange(from, middle);
  SortRange(middle, to);
  const uint32_t buffer = trace_.pages / 2;
  uint32_t left = from;
  uint32_t right = middle;
  for (uint32_t out = from; out < to; ++out) {
    for (int half = 0; half < 2; ++half) {
      if (left < middle) Touch(left);
      if (right < to) Touch(right);
      Touch(buffer + out);
    }
    const bool take_left = right >= to || (left < middle && out % 2 == 0);
    ++(take_left ? left : right);
  }
  for (uint32_t out = from; out < to; ++out) {
    Touch(buffer + out);
    Touch(out);
  }
}

void Maker::Sort() {
  trace_.memory = trace_.pages / 2;
  for (uint32_t page = 0; page < trace_.pages / 2; ++page) Touch(page);
  SortRange(0, trace_.pages / 2);
}

void Maker::Phases(bool random) {
  constexpr int kPhases = 16;
  constexpr uint32_t kTimes = 8;
  trace_.memory = trace_.pages / 4;
  Fill();
  const uint32_t size = trace_.memory * 3 / 5;
  for (int phase = 0; phase < kPhases; ++phase) {
    const uint32_t from = Random(trace_.pages - size);
    for (uint32_t i = 0; i < size * kTimes; ++i) {
      Touch(from + (random ? Random(size) : i % size));
    }
  }
}

void Maker::AfterZipf() {
  constexpr int kTurns = 4;
  const uint32_t n = trace_.pages;
  trace_.memory = n / 4;
  Fill();
  const Zipf zipf(n);
  const std::vector<uint32_t> page = Shuffled(n);
  const uint32_t size = trace_.memory * 4 / 5;
  for (int turn = 0; turn < kTurns; ++turn) {
    for (uint32_t i = 0; i < 3 * n; ++i) Touch(page[zipf.Draw(&random_)]);
    const uint32_t from = Random(n - size);
    for (uint32_t i = 0; i < 16 * size; ++i) Touch(from + i % size);
  }
}

void Maker::Loop() {
  trace_.memory = trace_.pages / 2;
  for (int round = 0; round < kRounds; ++round) Fill();
}

using Make = std::function<void(Maker*)>;
const std::vector<std::pair<std::string, Make>>& Makers() {
  static const auto* const makers =
      new std::vector<std::pair<std::string, Make>>{
          {"zipf", [](Maker* m) { m->Zipfian(false); }},
          {"scan", [](Maker* m) { m->Scan(); }},
          {"redis_zipf", [](Maker* m) { m->Redis(true); }},
          {"redis_uniform", [](Maker* m) { m->Redis(false); }},
          {"sort", [](Maker* m) { m->Sort(); }},
          {"drift", [](Maker* m) { m->Zipfian(true); }},
          {"phases", [](Maker* m) { m->Phases(false); }},
          {"phases_random", [](Maker* m) { m->Phases(true); }},
          {"after_zipf", [](Maker* m) { m->AfterZipf(); }},
          {"loop", [](Maker* m) { m->Loop(); }},
      };
  return *makers;
}

}  // namespace

std::vector<std::string> PolicyTraceNames() {
  std::vector<std::string> names;
  for (const auto& [name, make] : Makers()) names.push_back(name);
  return names;
}

PolicyTrace MakePolicyTrace(const std::string& name, uint32_t pages,
                            uint64_t seed) {
  PolicyTrace trace;
  trace.name = name;
  trace.pages = pages;
  Maker maker(&trace, seed);
  for (const auto& [known, make] : Makers()) {
    if (known == name) make(&maker);
  }
  FARSWAP_CHECK(!trace.accesses.empty());
  return trace;
}

}  // namespace farswap::bench

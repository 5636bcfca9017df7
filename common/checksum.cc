#include "common/checksum.h"

#include <cstring>

#include "xxh_x86dispatch.h"

namespace farswap {
namespace {

// The finalizer of MurmurHash3 (Austin Appleby, public domain): every input
// bit flips every output bit with probability near one half.
uint64_t Mix(uint64_t x) {
  x ^= x >> 33;
  x *= 0xff51afd7ed558ccdull;
  x ^= x >> 33;
  x *= 0xc4ceb9fe1a85ec53ull;
  return x ^ (x >> 33);
}

}  // namespace

uint64_t HashPart(const void* data, size_t size) {
  return XXH3_64bits_dispatch(data, size);
}

uint64_t CombineHash(uint64_t hash, uint64_t part) {
  return Mix(hash + 0x9e3779b97f4a7c15ull) ^ part;
}

uint32_t Checksum(uint64_t part, uint64_t cluster, uint32_t slot,
                  uint64_t generation) {
  uint64_t x = Mix(part ^ generation);
  x = Mix(x ^ cluster);
  x = Mix(x ^ slot);
  return static_cast<uint32_t>(x ^ (x >> 32));
}

bool IsZero(const void* data, size_t size) {
  const char* bytes = static_cast<const char*>(data);
  uint64_t last;
  std::memcpy(&last, bytes + size - sizeof(last), sizeof(last));
  if (last != 0) return false;
  // Every word equals the one after it, and the last one is zero.
  return std::memcmp(bytes, bytes + sizeof(last), size - sizeof(last)) == 0;
}

}  // namespace farswap

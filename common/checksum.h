// One pass over a folio's bytes answers two questions.
//
// HashPart gives 64 bits of content (XXH3, https://xxhash.com): equal to the
// hash kept since the folio was last stored means unchanged, so it is not
// stored again. 32 bits would not do for that: one silent miss in 4 billion
// comparisons is lost data, and a client makes that many.
//
// Checksum folds that hash with the place the bytes belong to into the 32-bit
// sum that stays in the swap table's word: a part that was corrupted,
// misplaced or is stale does not match. It is no defence against malice.
#ifndef FARSWAP_COMMON_CHECKSUM_H_
#define FARSWAP_COMMON_CHECKSUM_H_

#include <cstddef>
#include <cstdint>

namespace farswap {

// A hash of `size` bytes at `data`, the same on every machine.
uint64_t HashPart(const void* data, size_t size);

// Folds the hash of a further part into that of those before it; start with
// 0. A folio's hash is that of its parts in order.
uint64_t CombineHash(uint64_t hash, uint64_t part);

// The sum of a part whose content hash is `part`, stored at that place.
uint32_t Checksum(uint64_t part, uint64_t cluster, uint32_t slot,
                  uint64_t generation);

// Whether all `size` bytes (a multiple of 64) are zero. Looks at the last
// word first: a page in use that begins with zeros seldom ends with them.
bool IsZero(const void* data, size_t size);

}  // namespace farswap

#endif  // FARSWAP_COMMON_CHECKSUM_H_

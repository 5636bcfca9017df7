// The swap table: one 64-bit word a slot, a table of 512 words a cluster in
// use. The design is that of the Linux swap table (mm/swap_table.h and the
// phase IV series of May 2026), with a checksum in the word.
//
//   bits   63      32 31            7 6 5 4     2 1 0
//   Null   |                    0                   |  a free slot
//   Shadow |   sum   |     age      |T|Z| count | 01 |  swapped out
//   Cached |   sum   |   folio id   |T|Z| count | 10 |  in the swap cache
//   Bad    |                   ~0                | 11 |  never to be used
//
// Null: nobody's. Shadow: the bytes are remote only; `age` says when they
// were evicted. Cached: a folio is attached: it is being read, being written,
// or mapped while the remote copy is kept. The word is the swap cache.
//
// count: how many owners (page map entries) the slot has, 0..6; 7 says "look
//   in the cluster's overflow table". A count of 0 is Null or Cached; Shadow
//   only while another slot of the same part has an owner.
// Z: the folio was all zeros; nothing is stored remotely, each slot is a part
//   of its own, its sum 0.
// T: the slot belongs to the part of a slot before it and has no sum of its
//   own: the part's sum is at its head, the nearest lower slot without T. A
//   part is what one sum covers: a whole folio up to 64 KiB, else 64 KiB.
// sum: checksum of the part's stored bytes. It, Z and T stay when the type
//   changes between Shadow and Cached.
//
// Nobody but this header touches a bit. Writers hold the cluster's lock.
#ifndef FARSWAP_CLIENT_CORE_SWAP_TABLE_H_
#define FARSWAP_CLIENT_CORE_SWAP_TABLE_H_

#include <cstdint>

#include "client/core/folio.h"

namespace farswap::core {

inline constexpr uint32_t kMaxInlineCount = 6;
inline constexpr uint32_t kCountOverflow = 7;
inline constexpr uint32_t kAgeBits = 25;
inline constexpr uint32_t kAgeMask = (1u << kAgeBits) - 1;

class SwapWord {
 public:
  enum class Type : uint8_t { kNull = 0, kShadow = 1, kCached = 2, kBad = 3 };

  constexpr SwapWord() = default;
  explicit constexpr SwapWord(uint64_t raw) : raw_(raw) {}
  constexpr uint64_t raw() const { return raw_; }
  constexpr bool operator==(const SwapWord&) const = default;

  // --- make ---
  static constexpr SwapWord Bad() { return SwapWord(~uint64_t{0}); }
  // A slot that has just been allocated to a folio: count 0, no sum.
  static constexpr SwapWord Attached(FolioId folio) {
    return SwapWord(kTypeCached | uint64_t{folio} << kValueShift);
  }
  // The same word with a folio attached, or with the age in its place.
  constexpr SwapWord ToCached(FolioId folio) const {
    return With(kTypeCached, folio);
  }
  constexpr SwapWord ToShadow(uint32_t age) const {
    return With(kTypeShadow, age & kAgeMask);
  }
  constexpr SwapWord WithCount(uint32_t count) const {
    return SwapWord((raw_ & ~kCountMask) | uint64_t{count} << kCountShift);
  }
  constexpr SwapWord WithZero(bool zero) const {
    return SwapWord((raw_ & ~kZeroBit) | (zero ? kZeroBit : 0));
  }
  // The head of a part, and a further slot of it.
  constexpr SwapWord WithSum(uint32_t sum) const {
    return SwapWord((raw_ & ~kTailBit & ~kSumMask) | uint64_t{sum}
                                                         << kSumShift);
  }
  constexpr SwapWord WithTail() const {
    return SwapWord((raw_ & ~kSumMask) | kTailBit);
  }

  // --- is ---
  constexpr Type type() const { return static_cast<Type>(raw_ & kTypeMask); }
  constexpr bool is_null() const { return raw_ == 0; }
  constexpr bool is_shadow() const { return type() == Type::kShadow; }
  constexpr bool is_cached() const { return type() == Type::kCached; }

  // --- get ---
  constexpr uint32_t count() const {
    return static_cast<uint32_t>((raw_ & kCountMask) >> kCountShift);
  }
  constexpr bool zero() const { return (raw_ & kZeroBit) != 0; }
  constexpr bool tail() const { return (raw_ & kTailBit) != 0; }
  constexpr uint32_t sum() const {
    return static_cast<uint32_t>(raw_ >> kSumShift);
  }
  // REQUIRES: is_cached().
  constexpr FolioId folio() const { return Value(); }
  // REQUIRES: is_shadow().
  constexpr uint32_t age() const { return Value(); }

 private:
  static constexpr uint64_t kTypeMask = 3;
  static constexpr uint64_t kTypeShadow = 1;
  static constexpr uint64_t kTypeCached = 2;
  static constexpr int kCountShift = 2;
  static constexpr uint64_t kCountMask = uint64_t{7} << kCountShift;
  static constexpr uint64_t kZeroBit = 1 << 5;
  static constexpr uint64_t kTailBit = 1 << 6;
  static constexpr int kValueShift = 7;
  static constexpr uint64_t kValueMask = uint64_t{kAgeMask} << kValueShift;
  static constexpr int kSumShift = 32;
  static constexpr uint64_t kSumMask = ~uint64_t{0} << kSumShift;
  static_assert(kAgeBits == kFolioIdBits);
  static_assert(kValueShift + kAgeBits == kSumShift);

  constexpr SwapWord With(uint64_t type, uint32_t value) const {
    return SwapWord((raw_ & ~(kTypeMask | kValueMask)) | type |
                    uint64_t{value} << kValueShift);
  }
  constexpr uint32_t Value() const {
    return static_cast<uint32_t>((raw_ & kValueMask) >> kValueShift);
  }

  uint64_t raw_ = 0;
};
static_assert(sizeof(SwapWord) == 8);

}  // namespace farswap::core

#endif  // FARSWAP_CLIENT_CORE_SWAP_TABLE_H_

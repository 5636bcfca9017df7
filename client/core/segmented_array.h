// An array that grows in place: an element never moves and is never freed
// before the array is, so a stale index reads an element, never something
// else, and readers need no lock.
//
// Elements live in segments of 2^kSegmentShift. The segments' addresses live
// in chunks, each twice as long as the one before: nothing is sized by the
// largest index, and what is allocated ahead is at most one segment, and as
// many addresses as are in use.
//
//   index  |  segment number + 1: chunk = position of its top bit  | offset |
//
// Thread-safe for At; Grow must be serialised by the caller.
#ifndef FARSWAP_CLIENT_CORE_SEGMENTED_ARRAY_H_
#define FARSWAP_CLIENT_CORE_SEGMENTED_ARRAY_H_

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace farswap::core {

template <typename T, int kSegmentShift>
class SegmentedArray {
 public:
  static constexpr size_t kSegmentElements = size_t{1} << kSegmentShift;

  SegmentedArray() = default;
  ~SegmentedArray();
  SegmentedArray(const SegmentedArray&) = delete;
  SegmentedArray& operator=(const SegmentedArray&) = delete;

  // REQUIRES: Grow(index), or beyond, has returned.
  T& At(uint32_t index) const {
    const Place place = PlaceOf(index >> kSegmentShift);
    const Slot* chunk = chunks_[place.chunk].load(std::memory_order_acquire);
    T* segment = chunk[place.offset].load(std::memory_order_acquire);
    return segment[index & (kSegmentElements - 1)];
  }

  // Makes the element `index` exist. Callers are serialised.
  void Grow(uint32_t index);

  // Bytes allocated.
  size_t bytes() const { return bytes_.load(std::memory_order_relaxed); }

 private:
  using Slot = std::atomic<T*>;
  // One more than there are bits in a segment's number: it counts from 1.
  static constexpr int kChunks = 33 - kSegmentShift;
  struct Place {
    int chunk;
    size_t offset;
  };

  static constexpr size_t ChunkLength(int chunk) { return size_t{1} << chunk; }
  static constexpr Place PlaceOf(uint32_t segment) {
    const uint64_t number = uint64_t{segment} + 1;
    const int chunk = std::bit_width(number) - 1;
    return {chunk, number - ChunkLength(chunk)};
  }

  std::atomic<Slot*> chunks_[kChunks] = {};
  std::atomic<size_t> bytes_{0};
};

template <typename T, int kSegmentShift>
SegmentedArray<T, kSegmentShift>::~SegmentedArray() {
  for (int i = 0; i < kChunks; ++i) {
    Slot* chunk = chunks_[i].load(std::memory_order_relaxed);
    if (chunk == nullptr) continue;
    for (size_t j = 0; j < ChunkLength(i); ++j) {
      delete[] chunk[j].load(std::memory_order_relaxed);
    }
    delete[] chunk;
  }
}

template <typename T, int kSegmentShift>
void SegmentedArray<T, kSegmentShift>::Grow(uint32_t index) {
  const Place place = PlaceOf(index >> kSegmentShift);
  Slot* chunk = chunks_[place.chunk].load(std::memory_order_relaxed);
  size_t added = 0;
  if (chunk == nullptr) {
    chunk = new Slot[ChunkLength(place.chunk)]();
    chunks_[place.chunk].store(chunk, std::memory_order_release);
    added += ChunkLength(place.chunk) * sizeof(Slot);
  }
  if (chunk[place.offset].load(std::memory_order_relaxed) == nullptr) {
    chunk[place.offset].store(new T[kSegmentElements],
                              std::memory_order_release);
    added += kSegmentElements * sizeof(T);
  }
  bytes_.fetch_add(added, std::memory_order_relaxed);
}

}  // namespace farswap::core

#endif  // FARSWAP_CLIENT_CORE_SEGMENTED_ARRAY_H_

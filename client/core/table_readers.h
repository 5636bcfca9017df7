// Who reads a cluster's table without the cluster's lock: hazard pointers, so
// that no table is freed under its reader.
//
// A reader names the cluster in a place of his own (Hold), then loads the
// table's pointer; when he is done he clears the place. Who wants to free the
// table makes the pointer null, then looks through the places. Both steps of
// both are sequentially consistent, so in their one order either the naming
// comes before the look, which sees it, or the look, and with it the null,
// comes before the reader's load, which then finds no table. A look that finds
// the place cleared has synchronised with the clearing (release to acquire; a
// later reader's exchange of the place carries it on), so the freeing happens
// after every load of that reader.
//
// Naming the cluster, not the table, saves the loop of the usual protocol
// (publish, load again, compare): whatever table of the cluster the reader
// finds after he has named it is kept. It also is exact, unlike epochs: a
// reader who is preempted keeps one table, not all that are freed meanwhile.
// So at most one table a place, kPlaces * 4 KiB, is ever freed late.
//
// Places are not threads': a thread tries a few, from its number on. If other
// threads, preempted in theirs, have them all, the reader takes the lock
// instead. So there is nothing to register, and nothing to leave at exit.
//
// Thread-safe.
#ifndef FARSWAP_CLIENT_CORE_TABLE_READERS_H_
#define FARSWAP_CLIENT_CORE_TABLE_READERS_H_

#include <atomic>
#include <cstdint>

#include "client/core/swap_entry.h"
#include "client/core/thread_number.h"

namespace farswap::core {

class TableReaders {
 public:
  // 2 KiB: more than there are threads that fault at once.
  static constexpr uint32_t kPlaces = 32;

  // Short: nothing is waited for inside.
  class Hold {
   public:
    Hold(TableReaders* readers, ClusterIndex cluster)
        : place_(readers->Enter(uint64_t{cluster} + 1)) {}
    ~Hold() {
      if (place_ != nullptr) place_->store(0, std::memory_order_release);
    }
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;

    // False if no place was free: the caller must take the cluster's lock.
    bool ok() const { return place_ != nullptr; }

   private:
    std::atomic<uint64_t>* const place_;
  };

  TableReaders() = default;
  TableReaders(const TableReaders&) = delete;
  TableReaders& operator=(const TableReaders&) = delete;

  // Whether somebody may have loaded the cluster's table before its pointer
  // became null. REQUIRES: it is null, by a sequentially consistent store.
  bool IsRead(ClusterIndex cluster) const {
    for (const Place& place : places_) {
      if (place.reads.load() == uint64_t{cluster} + 1) return true;
    }
    return false;
  }

 private:
  static constexpr uint32_t kTries = 4;
  struct alignas(64) Place {
    std::atomic<uint64_t> reads{0};  // The cluster's index, plus one.
  };

  std::atomic<uint64_t>* Enter(uint64_t reads) {
    const uint32_t first = ThreadNumber();
    for (uint32_t i = first; i != first + kTries; ++i) {
      std::atomic<uint64_t>& place = places_[i % kPlaces].reads;
      uint64_t nobody = 0;
      if (place.compare_exchange_strong(nobody, reads)) return &place;
    }
    return nullptr;
  }

  Place places_[kPlaces];
};

}  // namespace farswap::core

#endif  // FARSWAP_CLIENT_CORE_TABLE_READERS_H_

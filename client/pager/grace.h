// When the object of a destroyed region may be freed: folios name their region
// by a bare pointer, and who isolated a folio before its region was destroyed
// still has that pointer.
//
// Two generations of holders, after read-copy-update: who enters is counted in
// the current one. Flip closes it, once the one before has drained; so what
// nobody could find any more when a generation was closed is nobody's when
// that generation has drained. Nobody ever waits: a stream of holders cannot
// starve the freeing, nor the freeing a holder.
//
// Thread-safe; Flip is for one thread.
#ifndef FARSWAP_CLIENT_PAGER_GRACE_H_
#define FARSWAP_CLIENT_PAGER_GRACE_H_

#include <atomic>
#include <cstdint>

namespace farswap::pager {

class Grace {
 public:
  // Held by who isolates folios from an LRU, or collects them from the swap
  // table, from there until he has done with their regions. Not across waits
  // without a bound.
  class Hold {
   public:
    explicit Hold(Grace* grace) : grace_(*grace), in_(grace->Enter()) {}
    ~Hold() { grace_.holders_[in_].fetch_sub(1); }
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;

   private:
    Grace& grace_;
    const uint32_t in_;
  };

  Grace() = default;
  Grace(const Grace&) = delete;
  Grace& operator=(const Grace&) = delete;

  // Whether everyone has gone who was there at the last Flip.
  bool Drained() const { return holders_[1 - current_.load()].load() == 0; }
  // Who is there now is what Drained asks for from now on. REQUIRES: Drained.
  void Flip() { current_.store(1 - current_.load()); }

 private:
  // Sequentially consistent: either Drained's look at a closed generation sees
  // the holder, or the holder sees that it is closed and enters the other.
  uint32_t Enter() {
    for (;;) {
      const uint32_t in = current_.load();
      holders_[in].fetch_add(1);
      if (current_.load() == in) return in;
      holders_[in].fetch_sub(1);
    }
  }

  std::atomic<uint32_t> current_{0};
  std::atomic<uint64_t> holders_[2] = {};
};

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_GRACE_H_

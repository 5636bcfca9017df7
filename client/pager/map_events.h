// Changes of the program's own map, between the moment userfaultfd tells of
// one and the moment the page maps know.
//
// The thread that changes the map sleeps until its event is read, and the
// kernel refuses every operation on the userfaultfd meanwhile (EAGAIN). The
// read wakes it, and only then does it drop the pages. So an operation that
// runs after the read and before the page map knows would be late: it would
// install bytes that the program has discarded, or take away what it has
// written since. Two things keep that out:
//   - A gate: no operation is under way while an event is read. One that
//     began before the change is over before the event is raised; one that
//     begins after the read finds the range here.
//   - Ranges that were read and are not applied: operations on them are
//     refused, as the kernel's own (EAGAIN).
//
// A fork is told in the same way. The child has the pages as they were when the
// kernel copied the map, before the read; the page maps are copied after it. So
// in between every operation is refused, wherever it is, but for those that
// finish what a block's lock is held for: what these bring is given to the
// child first (Except); and but for memory that no child has.
//
// Our own zaps and unmappings raise events too. The range is known beforehand;
// what is seen of it once is ours, what is seen twice is the program's as well.
//
// Thread-safe; Close .. Open is for the one reader. Leaf locks; an operation
// is entered with a block's lock held, so what is done while the gate is
// closed takes none.
#ifndef FARSWAP_CLIENT_PAGER_MAP_EVENTS_H_
#define FARSWAP_CLIENT_PAGER_MAP_EVENTS_H_

#include <atomic>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "common/mutex.h"
#include "common/units.h"

namespace farswap::pager {

struct MapEvent {
  enum class Kind : uint8_t {
    kRemove,  // Pages are discarded: madvise DONTNEED, FREE, REMOVE.
    kUnmap,   // The range is no longer mapped.
    kRemap,   // It was moved to `to`, with its pages.
    kFork,    // All of the map was copied: `child` is its userfaultfd.
  };

  Kind kind = Kind::kRemove;
  char* start = nullptr;
  char* end = nullptr;
  char* to = nullptr;
  int child = -1;  // A descriptor; whoever applies the event owns it.

  bool operator==(const MapEvent&) const = default;
};

class MapEvents {
 public:
  // How long the reader waits for one ioctl, in turns of a millisecond at
  // least: not in time, for the process may be stopped.
  static constexpr int kPatience = 60000;

  explicit MapEvents(int patience = kPatience) : patience_(patience) {}
  MapEvents(const MapEvents&) = delete;
  MapEvents& operator=(const MapEvents&) = delete;

  // Held across one ioctl on the range.
  class Operation {
   public:
    Operation(MapEvents* events, const char* at, size_t bytes)
        : events_(*events) {
      events_.Enter();
      refused_ = events_.IsRefused(at, bytes);
    }
    ~Operation() { events_.Leave(); }
    Operation(const Operation&) = delete;
    Operation& operator=(const Operation&) = delete;

    bool refused() const { return refused_; }

   private:
    MapEvents& events_;
    bool refused_;
  };

  // An operation whose thread sleeps until an event of it is read (mremap): the
  // reader ends it, once what it does is done. One at a time.
  class Sleeper {
   public:
    Sleeper(MapEvents* events, const char* at, size_t bytes);
    ~Sleeper();
    Sleeper(const Sleeper&) = delete;
    Sleeper& operator=(const Sleeper&) = delete;

    bool refused() const { return refused_; }

   private:
    MapEvents& events_;
    uint64_t turn_;
    bool refused_;
  };
  // Where Sleepers move things: events of that range are nobody's. `moved`
  // says that the thread has moved something there; it may be asked at any
  // time. Before the first read.
  void SetScratch(char* at, size_t bytes, std::function<bool()> moved);
  // Memory that no child inherits: a fork is no reason to refuse an operation
  // there. Before the first read.
  void SetNotInherited(const char* at, size_t bytes);

  // Held across a zap of ours, of at most 2 MiB. If the program cuts the
  // mapping meanwhile, the kernel may tell of a part twice.
  class OwnZap {
   public:
    OwnZap(MapEvents* events, char* at, size_t bytes);
    ~OwnZap();
    OwnZap(const OwnZap&) = delete;
    OwnZap& operator=(const OwnZap&) = delete;

   private:
    MapEvents& events_;
    char* const at_;
  };

  // Held across an unmapping of ours.
  class OwnUnmap {
   public:
    OwnUnmap(MapEvents* events, char* at, size_t bytes);
    ~OwnUnmap();
    OwnUnmap(const OwnUnmap&) = delete;
    OwnUnmap& operator=(const OwnUnmap&) = delete;

   private:
    MapEvents& events_;
    char* const at_;
  };

  // Whether an event that was read and is not applied is about the range; a
  // fork changes nothing.
  bool IsChanging(const char* at, size_t bytes) const;
  // Whether operations on the range are refused: for such a one, or a fork.
  bool IsRefused(const char* at, size_t bytes) const;
  // Of those, whether one is a move.
  bool IsMoving(const char* at, size_t bytes) const;
  // Whether any event is between its read and its Applied.
  bool any() const { return count() != 0; }
  size_t count() const { return count_.load(std::memory_order_acquire); }

  // --- forks ---
  // No fork that was read and is not applied is a reason any more to refuse an
  // operation on the range. False: it was none before. First each one's child
  // is given what it lacks, by its descriptor, which stays open meanwhile; if
  // `give` says false, it lacks it for good.
  bool Except(char* at, size_t bytes,
              const std::function<bool(int child)>& give);
  // The range was discarded by ourselves: a fork that is pending copied the map
  // before that, and its child lacks what was not there.
  void Lack(char* at, size_t bytes);
  // Where pages are that a child, whose fork is applied, lacks.
  std::vector<char*> TakeLacked(int child);

  // --- the reader ---
  // Waits until no operation is under way (each is an ioctl) and keeps further
  // ones out until Open. Dies if one does not end.
  void Close();
  void Open();
  // Takes an event in; appends what of it is to be applied to the page maps,
  // which is all of it but for our own zaps. REQUIRES: closed.
  void Read(const MapEvent& event, std::vector<MapEvent>* to_apply);
  // The page maps know.
  void Applied(const MapEvent& event);

 private:
  struct Zap {
    char* at;
    size_t pages;
    std::bitset<kPagesPerPmd> seen;
  };

  struct Unmap {
    char* at;
    size_t bytes;
    size_t unseen;  // Of its bytes.
  };

  void Enter();
  void Leave() { operations_.fetch_sub(1); }
  // Ends the Sleeper that began as `turn`, unless another did.
  void EndSleeper(uint64_t turn);
  bool IsOfScratch(const MapEvent& event) const;
  bool IsExceptedLocked(const char* at, size_t bytes) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void AddLocked(const MapEvent& event, std::vector<MapEvent>* to_apply)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool IsOurUnmapLocked(const MapEvent& event)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Whether the page is part of a zap of ours, seen for the first time.
  bool IsOursLocked(const char* page) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const int patience_;

  // Sequentially consistent, both: either Close sees the operation, or the
  // operation sees that it is closed.
  std::atomic<int> operations_{0};
  std::atomic<bool> closed_{false};

  // Of the Sleeper whose end the reader is to tell; 0: none.
  std::atomic<uint64_t> sleeper_{0};
  std::atomic<uint64_t> turns_{0};
  char* scratch_ = nullptr;
  size_t scratch_bytes_ = 0;
  std::function<bool()> moved_;
  const char* own_ = nullptr;  // What is not inherited.
  size_t own_bytes_ = 0;

  std::atomic<size_t> count_{0};  // Of pending_: mostly none, and no lock.
  mutable Mutex mu_;
  std::vector<MapEvent> pending_ ABSL_GUARDED_BY(mu_);
  // Start and end; for all forks that are pending.
  std::vector<std::pair<const char*, const char*>> excepted_
      ABSL_GUARDED_BY(mu_);
  std::vector<std::pair<int, char*>> lacked_ ABSL_GUARDED_BY(mu_);
  std::vector<Zap> zaps_ ABSL_GUARDED_BY(mu_);
  std::vector<Unmap> unmaps_ ABSL_GUARDED_BY(mu_);
};

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_MAP_EVENTS_H_

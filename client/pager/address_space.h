// The seam between the pager and a program's page tables: how bytes come in,
// how they are taken out, and what is proven about a page.
//
// Implementations: Uffd (this process), UffdProcess (another one), and tests'
// one that injects errors (tests/client/pager/faulty_address_space.h).
//
// Ranges are page-aligned and stay inside one region, or inside one staging
// mapping. An operation that did part of its work says how much: it is
// complete from the range's start, and `error` is the cause of the stop.
//
// | operation | errno  | meaning                                          |
// | --------- | ------ | ------------------------------------------------ |
// | CopyIn    | EEXIST | a page is present there: nothing was overwritten |
// | MoveIn    | EEXIST | as CopyIn                                        |
// | MoveOut   | EBUSY  | pinned for I/O, or shared with a forked child    |
// |           | ENOENT | a page is not present: discarded behind our back |
// |           | EINVAL | mprotected or mlocked since                      |
// | any       | EAGAIN | the map is changing: later                       |
// |           | ENOMEM | no memory for a page or a page table             |
// |           | ESRCH  | the program is gone                              |
//
// Thread-safe. Every operation that makes pages present wakes who waits for
// them.
#ifndef FARSWAP_CLIENT_PAGER_ADDRESS_SPACE_H_
#define FARSWAP_CLIENT_PAGER_ADDRESS_SPACE_H_

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "client/pager/map_events.h"
#include "client/pager/vacated.h"
#include "common/units.h"

namespace farswap::pager {

struct [[nodiscard]] OpResult {
  int error = 0;    // An errno; 0: all of the range was done.
  size_t done = 0;  // Bytes, from the range's start.

  bool ok() const { return error == 0; }
};

// Some of at most kPagesPerPmd pages in a row.
using PageSet = std::bitset<kPagesPerPmd>;

struct Residents {
  // A page of the kernel's zeros is none that is there.
  PageSet present;
  PageSet shared;  // Of them: another process has it too, since a fork.
  // Of those that are shared, what is the same in all that have it: its frame,
  // or, if that is not told (it takes CAP_SYS_ADMIN), its address.
  std::array<uint64_t, kPagesPerPmd> names{};
};

class AddressSpace {
 public:
  AddressSpace() = default;
  AddressSpace(const AddressSpace&) = delete;
  AddressSpace& operator=(const AddressSpace&) = delete;
  virtual ~AddressSpace() = default;

  // --- install ---
  // Fills absent pages at `to` with copies of the bytes at `from`.
  virtual OpResult CopyIn(char* to, const char* from, size_t bytes) = 0;
  // Moves the pages under `from`, staging, to absent pages at `to`. A 2 MiB
  // page moves whole if both are 2 MiB aligned and `to` has no page table.
  virtual OpResult MoveIn(char* to, char* from, size_t bytes) = 0;

  // --- capture ---
  // Moves the pages at `from` to the empty staging at `to`: unmaps and
  // captures at once. Nobody sees a page in between. EEXIST: `to` is not empty.
  virtual OpResult MoveOut(char* to, char* from, size_t bytes) = 0;

  // Gives each of the pages a frame of its own where a forked child shares
  // it, so that it may be moved. Not while a lock is held: if a page is absent,
  // the thread waits for it like the program's own. `*opened`, also if it
  // fails: how many were write-protected for being shared, and are no more, so
  // that copies of them are not charged as yet (Promises).
  virtual OpResult Unshare(char* at, size_t bytes, uint64_t* opened) = 0;

  // --- zap ---
  // Drops whatever is mapped. Nothing fences it from the program's own changes
  // of that range at that moment: for memory of ours, or at the program's word.
  virtual OpResult Zap(char* at, size_t bytes) = 0;
  // Drops the page table of a block that has no page.
  virtual OpResult DropTable(char* block) = 0;
  // Unmaps a range of a region that goes.
  virtual void Unmap(char* at, size_t bytes) = 0;

  // --- and the rest ---
  // Makes absent pages raise SIGBUS on touch.
  virtual OpResult Poison(char* at, size_t bytes) = 0;
  // Lets who waits in the range try again.
  virtual OpResult Wake(char* at, size_t bytes) = 0;
  // Whether there is a page at `at` (in memory or in the kernel's own swap).
  virtual bool IsPresent(const char* at) = 0;
  // The first page from `at` on that is there, or `end`.
  virtual const char* FirstPresent(const char* at, const char* end) = 0;
  // The first that is not, or `end`.
  virtual const char* FirstAbsent(const char* at, const char* end) = 0;
  // Which of at most kPagesPerPmd pages are there.
  virtual Residents LookAt(const char* at, size_t pages);
  // Whether a fault there may be one that who takes out waits for, so that it
  // must not wait for room.
  virtual bool IsAwaited(const char* at) { return false; }
  // Whether pages can be taken out at all, ever; else they are brought in
  // whatever the limit is.
  virtual bool CanTakeOut() { return true; }
  // Of memory that was found: whether what is missing there will fault. Makes
  // it so where it can.
  virtual bool MakeFault(char* at, size_t bytes) { return true; }
  // Adds what of the range, memory that faults, is mapped no more, or not so
  // that it faults. False: the map is changing, ask later.
  virtual bool FindUnmapped(char* at, size_t bytes,
                            std::vector<AddressRange>* unmapped) {
    unmapped->emplace_back(at, at + bytes);
    return true;
  }
  // Ends the program, whose memory is not known to be right any more. False: it
  // is this one.
  virtual bool End(const char* why) { return false; }
  // Whether the program has ended: nothing of it is to be saved.
  virtual bool IsGone() { return false; }
  // Whether the 2 MiB at `at` are mapped by one PMD entry.
  virtual bool IsHuge(const char* at) = 0;
  // Whether the program has changed its map in the range, and the page map is
  // not told yet: what EAGAIN then says of the range holds until it is.
  virtual bool IsChanging(const char* at, size_t bytes) = 0;
  // Whether such a change moves pages away from there, or to there.
  virtual bool IsMoving(const char* at, size_t bytes) = 0;
  // Whether no change of the range that has happened by now is still to be
  // told to the page map: also none that nobody has read yet.
  virtual bool Settled(const char* at, size_t bytes) = 0;
  // Whether no change that has happened by now is unread, and `untold` is how
  // many the page map is to be told of.
  virtual bool IsAllRead(size_t untold) = 0;
  // How many changes were read that the page map is to be told of.
  virtual size_t CountUntold() = 0;
  // A fork was read and is not applied, and the bytes of a page are in the
  // caller's hands, under its block's lock: gives them to the child, if it has
  // nothing there, and lets the caller go on, which is refused else. False:
  // that is not why he was refused.
  virtual bool GiveForked(char* to, const char* from) = 0;
  // The page map has been told.
  virtual void Applied(const MapEvent& change) = 0;
  // The pages that could not be given to a child, of a fork that is applied.
  virtual std::vector<char*> TakeLacked(int child) = 0;
};

inline Residents AddressSpace::LookAt(const char* at, size_t pages) {
  Residents found;
  const char* const end = at + pages * kPageBytes;
  const char* page = at;
  while ((page = FirstPresent(page, end)) != end) {
    const char* const next = FirstAbsent(page, end);
    for (; page != next; page += kPageBytes) {
      found.present.set(static_cast<size_t>(page - at) / kPageBytes);
    }
  }
  return found;
}

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_ADDRESS_SPACE_H_

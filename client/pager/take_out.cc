#include "client/pager/take_out.h"

#include <errno.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "client/pager/content.h"
#include "common/checksum.h"
#include "common/log_raw.h"

namespace farswap::pager {
namespace {

// How long one attempt waits for staging. Long enough to see a 2 MiB put done
// (about 1 ms).
constexpr std::chrono::milliseconds kMoment{2};

}  // namespace

TakeOut::Step TakeOut::Run(core::Folio* folio, SteadyTime until,
                           uint64_t* taken, bool keep) {
  Step step = Step::kNoRoom;
  Captured captured = TryCapture(folio, until, keep);
  // Once: what is pinned for I/O does not go by that.
  if (captured == Captured::kShared && Unshare(folio)) {
    captured = TryCapture(folio, until, keep);
  }
  switch (captured) {
    case Captured::kYes:
      *taken += PagesOf(folio->order);
      step = Step::kTaken;
      break;
    case Captured::kNo:
      step = Step::kSkipped;
      break;
    case Captured::kNotWhole:
      step = RunParts(folio, until, taken, keep);
      break;
    case Captured::kNoSlots:
      // Not when a server is only slow: then room for all of it will come.
      if (folio->order > 0 && clusters_.full()) {
        step = RunParts(folio, until, taken, keep);
      }
      break;
    case Captured::kOverLimit:
      step = RunOverLimit(folio, until, taken, keep);
      break;
    case Captured::kShared:
      step = Step::kSkipped;
      break;
    case Captured::kNoRoom:
      break;
  }
  // Does nothing to a folio that has gone, or is back, already.
  if (step == Step::kNoRoom) folio->group->LruReturn(folio);
  shared_.folios.Put(folio);
  return step;
}

// With nothing in hand that others wait for: where a page is absent after all
// (a discard that comes late), this thread waits until it is served.
bool TakeOut::Unshare(const core::Folio* folio) {
  char* const at = RegionOf(folio)->AddressOf(folio->index);
  const size_t bytes = BytesOf(folio->order);
  AddressSpace& space = SpaceOf(*RegionOf(folio));
  if (space.FirstAbsent(at, at + bytes) != at + bytes) return false;
  shared_.counters.takeout_unshared.Add();
  uint64_t opened = 0;
  const bool done = space.Unshare(at, bytes, &opened).ok();
  // Who else has these pages keeps what is charged here.
  folio->group->ForceCharge(opened);
  shared_.promises.Give(opened);
  if (!done) return false;
  // A 2 MiB page that was shared has become small ones.
  MutexLock lock(shared_.LockOf(RegionOf(folio), folio->index));
  RegionOf(folio)->map().SetTable(folio->index / kPagesPerPmd, true);
  return true;
}

TakeOut::Step TakeOut::RunOverLimit(core::Folio* folio, SteadyTime until,
                                    uint64_t* taken, bool keep) {
  const uint64_t pages = PagesOf(folio->order);
  const core::MemoryGroup* const over = folio->group->OverSwapLimit(pages);
  // For the next attempt: copies of what is mapped.
  if (over == nullptr || clusters_.DropCleanCopies(over)) return Step::kNoRoom;
  const uint64_t part = PagesOf(kPartOrder);
  if (pages > part && folio->group->SwapRoom() >= part) {
    return RunParts(folio, until, taken, keep);
  }
  // Another group's may go.
  folio->group->LruPutback(folio, /*active=*/true);
  return Step::kSkipped;
}

TakeOut::Captured TakeOut::TryCapture(core::Folio* folio, SteadyTime until,
                                      bool keep) {
  if (!ReservePut()) return Captured::kNoRoom;
  Captured captured = Captured::kNoRoom;
  const int order = folio->order;
  char* const staging = shared_.staging->GetEmpty(
      order, std::chrono::steady_clock::now() + kMoment);
  if (staging != nullptr) {
    captured = CaptureTo(folio, staging, until, keep);
    if (captured != Captured::kYes) {
      shared_.staging->Put(staging, order, /*filled=*/false);
    }
  }
  if (captured != Captured::kYes) ReleasePut();
  return captured;
}

TakeOut::Captured TakeOut::CaptureTo(core::Folio* folio, char* staging,
                                     SteadyTime until, bool keep) {
  const Captured captured = Capture(folio, staging, keep);
  if (captured != Captured::kNoSlots || !clusters_.Refill(until)) {
    return captured;
  }
  return Capture(folio, staging, keep);
}

bool TakeOut::ReservePut() {
  int puts = puts_.load(std::memory_order_relaxed);
  do {
    if (puts >= shared_.transport->max_puts()) return false;
  } while (
      !puts_.compare_exchange_weak(puts, puts + 1, std::memory_order_relaxed));
  return true;
}

void TakeOut::ReleasePut() { puts_.fetch_sub(1, std::memory_order_relaxed); }

TakeOut::Captured TakeOut::Capture(core::Folio* folio, char* staging,
                                   bool keep) {
  Region* const region = RegionOf(folio);
  std::shared_ptr<Region> hold;
  bool huge = false;
  Captured captured = Captured::kNo;
  {
    MutexLock lock(shared_.LockOf(region, folio->index));
    if (region->dead()) {
      // It is being forgotten.
    } else if (folio->mapped && folio->writeback) {
      folio->group->LruPutback(folio, /*active=*/false);
    } else if (folio->mapped) {
      hold = region->shared_from_this();
      huge = folio->order == kPmdOrder &&
             !region->map().GetBlock(folio->index / kPagesPerPmd).has_table();
      captured = CaptureLocked(region, folio, staging);
      // Else it came in parts, or stays.
      huge = huge && folio->writeback &&
             region->map().GetBlock(folio->index / kPagesPerPmd).kind() ==
                 PageWord::Kind::kSwap;
    }
  }
  if (captured == Captured::kYes) {
    Settle(folio, std::move(hold), huge, keep);
  }
  return captured;
}

TakeOut::Captured TakeOut::CaptureLocked(Region* region, core::Folio* folio,
                                         char* staging) {
  // Not in a row any more, since the program moved some of its pages.
  if (region->RunAt(folio->index, PagesOf(folio->order)) <
      PagesOf(folio->order)) {
    return Captured::kNotWhole;
  }
  // Owners, of a mapped folio's slots, are forked children: what is there is
  // theirs, and this folio's next copy goes elsewhere.
  if (folio->has_swap && shared_.swap.FolioHasOwners(folio)) {
    shared_.swap.SwapCacheDelFolio(folio, /*age=*/0);
  }
  const bool new_slots = !folio->has_swap;
  core::MemoryGroup* over = nullptr;
  if (new_slots && !shared_.swap.FolioAllocSwap(folio, &over)) {
    return over != nullptr ? Captured::kOverLimit : Captured::kNoSlots;
  }
  // The map says where the folio goes before the pages do, as in the kernel:
  // there is no moment at which a fault could find neither.
  shared_.swap.FolioDupSwap(folio);
  region->map().Set(folio->index, folio->order, PageWord::Swap(folio->entry));
  const OpResult moved = SpaceOf(*region).MoveOut(
      staging, region->AddressOf(folio->index), BytesOf(folio->order));
  if (!moved.ok()) {
    const PageMap& map = region->map();
    const bool gone = moved.error == ENOENT &&
                      map.GetBlock(folio->index / kPagesPerPmd).discarded();
    const bool cut = (gone || moved.error == EINVAL) && folio->order > 0;
    if (!UndoCapture(region, folio, staging, moved, new_slots)) {
      return Captured::kYes;
    }
    if (gone && !cut) {
      // The program's discard came after the page was mapped anew.
      forget_.RangeLocked(region, folio->index, 1, PageWord());
    }
    if (cut) return Captured::kNotWhole;
    const bool shared = moved.error == EBUSY && shared_.forked.load();
    return shared ? Captured::kShared : Captured::kNo;
  }
  CapturedLocked(folio, staging, PagesOf(folio->order));
  if (folio->order < kPmdOrder) {
    region->map().Fold(folio->index / kPagesPerPmd);
  }
  return Captured::kYes;
}

void TakeOut::CapturedLocked(core::Folio* folio, char* staging,
                             uint64_t pages) {
  folio->mapped = false;
  folio->writeback = true;
  folio->staging = staging;
  folio->group->LruDel(folio);
  folio->group->Uncharge(pages);
  shared_.counters.resident_pages.Sub(pages);
  shared_.counters.remote_pages.Add(pages);
}

bool TakeOut::UndoCapture(Region* region, core::Folio* folio, char* staging,
                          OpResult moved, bool new_slots) {
  const auto stay = PutBack(&SpaceOf(*region), region->AddressOf(folio->index),
                            staging, moved.done);
  if (stay.any()) {
    StayCaptured(region, folio, staging, stay);
    return false;
  }
  region->map().Set(folio->index, folio->order, PageWord::Folio(folio->id));
  if (folio->order == kPmdOrder) {
    region->map().SetTable(folio->index / kPagesPerPmd, true);
  }
  shared_.swap.FolioPutSwap(folio);
  if (new_slots) shared_.swap.FolioFreeSwap(folio);
  shared_.counters.takeout_busy.Add();
  const bool cut = moved.error == EINVAL || moved.error == ENOENT;
  if (cut && folio->order > 0) return true;
  // The active list, so that it is not the next victim again.
  folio->group->LruPutback(folio, /*active=*/true);
  return true;
}

std::bitset<kPagesPerPmd> TakeOut::PutBack(AddressSpace* space, char* home,
                                           char* staging, size_t bytes) {
  std::bitset<kPagesPerPmd> stay;
  const SteadyTime until = std::chrono::steady_clock::now() + kPutBackWait;
  size_t step = bytes;  // All of the rest, or a page.
  for (size_t at = 0; at < bytes; step = std::min(step, bytes - at)) {
    OpResult back = space->MoveIn(home + at, staging + at, step);
    at += back.done;
    if (back.ok()) continue;
    if (step > kPageBytes) {
      step = kPageBytes;
      continue;
    }
    if (back.error == EAGAIN && space->GiveForked(home + at, staging + at)) {
      continue;
    }
    if (space->IsChanging(home + at, kPageBytes)) {
      // The new place of what moves is known once that is applied: the slot
      // keeps it. What was discarded or unmapped goes with the staging. Asked
      // in this order: a move that is read in between is no discard.
      if (space->IsMoving(home + at, kPageBytes)) {
        stay.set(at / kPageBytes);
      }
      at += kPageBytes;
      continue;
    }
    // Protected or locked meanwhile: a copy does.
    if (back.error == EINVAL || back.error == EBUSY) {
      back = space->CopyIn(home + at, staging + at, kPageBytes);
      at += back.done;
      if (back.ok()) continue;
    }
    if (back.error == ESRCH && space->IsGone()) return stay;
    const bool passes =
        back.error == EAGAIN || back.error == ENOMEM || back.error == ENOENT;
    // With the only copy of a page in hand there is nothing else to do.
    const bool hopeless = !passes || std::chrono::steady_clock::now() > until;
    if (hopeless && space->End("a page cannot be put back")) return stay;
    if (!passes || std::chrono::steady_clock::now() > until) {
      DieRaw("a page cannot be put back: errno %d", back.error);
    }
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
  return stay;
}

void TakeOut::Settle(core::Folio* folio, std::shared_ptr<Region> region,
                     bool huge, bool keep) {
  // The bytes are stable: unmapped, and at most copied from here on.
  const bool zero = IsZero(folio->staging, BytesOf(folio->order));
  const Content content =
      zero ? Content() : HashContent(folio->staging, folio->order);
  char* const staging = folio->staging;
  if (keep) MakeRoomToKeep(folio);
  Settled settled;
  {
    MutexLock lock(shared_.LockOf(region.get(), folio->index));
    settled = SettleUnwritten(region.get(), folio, zero, content.hash, keep);
    if (settled == Settled::kNot) {
      folio->hash = content.hash;
      folio->stored = false;
      const core::ClusterGrant grant = shared_.swap.GrantOf(folio->entry);
      const Sums sums =
          SumsOf(content, grant, folio->entry.slot(), folio->order);
      shared_.swap.SetSums(folio->entry, folio->order, /*zero=*/false,
                           absl::MakeSpan(sums.data(), PartsOf(folio->order)));
    }
  }
  if (settled == Settled::kNot) {
    StartPut(folio, std::move(region), huge, keep);
  } else {
    Release(folio, settled == Settled::kKept ? nullptr : staging, huge);
  }
}

TakeOut::Settled TakeOut::SettleUnwritten(Region* region, core::Folio* folio,
                                          bool zero, uint64_t hash, bool keep) {
  if (zero) {
    // Nothing is kept of it. If a fault took it back meanwhile, the map names
    // the folio, and Disown finds nothing.
    Disown(region, folio, PageWord(PageWord::Kind::kZero, 0));
    folio->stored = false;
    if (!shared_.swap.FolioFreeSwap(folio) && !folio->mapped) {
      // Pages that were moved elsewhere name its slots: those are zeros.
      shared_.swap.SetSums(folio->entry, folio->order, /*zero=*/true, {});
      shared_.swap.SwapCacheDelFolio(
          folio, folio->group->Evict(PagesOf(folio->order)));
    }
    shared_.counters.swpout_zero.Add();
  } else if (folio->stored && folio->hash == hash &&
             (folio->mapped || !IsCopyLost(folio))) {
    shared_.counters.swpout_clean.Add();
    folio->writeback = false;
    if (!folio->mapped && keep && KeepLocked(region, folio)) {
      return Settled::kKept;
    }
    if (!folio->mapped) {
      shared_.swap.SwapCacheDelFolio(
          folio, folio->group->Evict(PagesOf(folio->order)));
    }
  } else {
    return Settled::kNot;
  }
  folio->writeback = false;
  folio->staging = nullptr;
  return Settled::kDone;
}

bool TakeOut::IsCopyLost(const core::Folio* folio) const {
  return shared_.swap.IsRetired(folio->entry) ||
         shared_.transport->IsLost(shared_.swap.GrantOf(folio->entry));
}

void TakeOut::Disown(Region* region, core::Folio* folio, PageWord word) {
  PageMap& map = region->map();
  if (map.IsSwapRun(folio->index, folio->order, folio->entry)) {
    map.Set(folio->index, folio->order, word);
    shared_.swap.PutEntries(folio->entry, PagesOf(folio->order), folio->group);
    shared_.counters.remote_pages.Sub(PagesOf(folio->order));
    return;
  }
  for (uint32_t i = 0; i < PagesOf(folio->order); ++i) {
    if (map.Get(folio->index + i) != PageWord::Swap(folio->entry + i)) continue;
    map.Set(folio->index + i, 0, word);
    shared_.swap.PutEntries(folio->entry + i, 1, folio->group);
    shared_.counters.remote_pages.Sub(1);
  }
}

}  // namespace farswap::pager

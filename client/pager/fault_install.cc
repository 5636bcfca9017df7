// FaultPath: installs that the kernel refused, or did half of.
#include <errno.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "absl/strings/str_cat.h"
#include "client/pager/fault_path.h"
#include "common/log_raw.h"

namespace farswap::pager {
namespace {

// Between two tries of what may be over in a moment: an event that is being
// read, memory that is being freed.
constexpr std::chrono::microseconds kPause{50};

bool Passes(int error) { return error == EAGAIN || error == ENOMEM; }

}  // namespace

bool FaultPath::InstalledLocked(Service* service, core::Folio* folio,
                                const char* bytes, OpResult result,
                                bool adopt) {
  service->adopted = false;
  service->partial = false;
  service->there.reset();
  if (result.ok()) return true;
  Region* const region = service->region;
  if (folio->order == kPmdOrder) {
    region->map().SetTable(folio->index / kPagesPerPmd, true);
  }
  // What is refused as a move may do as a copy (mlocked, mprotected), and what
  // is of several mappings goes page by page. What was installed may have been
  // written to already: there is no way back, so the rest is copied too.
  const bool go_on = result.done > 0 || result.error == EINVAL ||
                     result.error == EBUSY ||
                     (result.error == ENOENT && folio->order > 0) ||
                     (result.error == EEXIST && adopt);
  const bool some =
      go_on && CopyRest(service, folio, bytes, result.done, adopt) > 0;
  if (service->partial) {
    service->refused.reset();  // They are tried alone.
    return false;
  }
  if (some) return true;
  SetInstallError(service, result.error);
  return false;
}

void FaultPath::SetInstallError(Service* service, int error) const {
  service->refused.reset();
  if (error == EEXIST) {
    service->error = absl::DataLossError(
        "a page is present where it was taken out: the program mapped "
        "something over a part of the region");
  } else if (!Passes(error)) {
    service->error = absl::FailedPreconditionError(absl::StrCat(
        "the region is not as it was made (errno ", error,
        "): the program unmapped, remapped or protected a part of it"));
  }
}

size_t FaultPath::CopyRest(Service* service, core::Folio* folio,
                           const char* bytes, size_t done, bool adopt) {
  AddressSpace& space = SpaceOf(*service->region);
  char* const home = service->region->AddressOf(folio->index);
  const size_t size = BytesOf(folio->order);
  size_t there = done / kPageBytes;
  const auto note = [&](size_t at, size_t copied) {
    for (size_t i = at; i < at + copied; i += kPageBytes) {
      service->there.set(i / kPageBytes);
    }
  };
  note(0, done);
  size_t step = size - done;  // All of the rest, or a page.
  for (size_t at = done; at < size; step = std::min(step, size - at)) {
    const OpResult copied = space.CopyIn(home + at, bytes + at, step);
    note(at, copied.done);
    at += copied.done;
    there += copied.done / kPageBytes;
    if (copied.ok()) continue;
    if (step > kPageBytes) {
      // Which page it is about is known when it is tried alone.
      step = kPageBytes;
      continue;
    }
    if (copied.error == EAGAIN && space.GiveForked(home + at, bytes + at)) {
      continue;
    }
    const bool gone = space.IsChanging(home + at, kPageBytes);
    // Asked afterwards: a move that is read in between is no discard.
    service->partial |= gone && space.IsMoving(home + at, kPageBytes);
    const bool wait = !gone && Passes(copied.error) &&
                      std::chrono::steady_clock::now() < service->deadline;
    if (wait) {
      std::this_thread::sleep_for(kPause);
      continue;
    }
    const bool adopted = copied.error == EEXIST && adopt;
    const bool good = gone || adopted;
    service->adopted |= adopted;
    there += good;
    if (!good) {
      service->refused.set(at / kPageBytes);
      service->refusal = copied.error;
    }
    at += kPageBytes;
  }
  return there;
}

void FaultPath::LoseRefusedLocked(Service* service, core::Folio* folio) {
  if (service->refused.none()) return;
  Region* const region = service->region;
  const uint64_t first = folio->index;
  const uint32_t pages = PagesOf(folio->order);
  LogRaw(LogLevel::kError,
         "%zu of the %u pages at %p cannot be mapped (errno %d) and are lost",
         service->refused.count(), pages,
         static_cast<void*>(region->AddressOf(first)), service->refusal);
  DeclareLost(*service, absl::DataLossError("the kernel refuses to map it"),
              service->refused.count());
  for (uint32_t i = 0; i < pages; ++i) {
    if (!service->refused.test(i)) continue;
    forget_.RangeLocked(region, first + i, 1,
                        PageWord(PageWord::Kind::kPoisoned, 0));
    PoisonOrWake(&SpaceOf(*region), region->AddressOf(first + i), kPageBytes);
  }
  service->refused.reset();
}

uint64_t FaultPath::InstallPagesLocked(Service* service, core::SwapEntry head,
                                       int order, const char* bytes,
                                       bool* served) {
  Region* const region = service->region;
  PageMap& map = region->map();
  const uint64_t block = AlignDown(service->page, kPagesPerPmd);
  // The page of the folio's first slot, if it were in a row (it may wrap).
  const uint64_t first =
      service->page - (service->word.entry().raw() - head.raw());
  uint64_t installed = 0;
  for (uint32_t i = 0; i < PagesOf(order); ++i) {
    const uint64_t page = first + i;
    if (AlignDown(page, kPagesPerPmd) != block) continue;
    if (map.Get(page) != PageWord::Swap(head + i)) continue;
    core::Folio* const folio =
        shared_.folios.Allocate(0, region->group(), region, page);
    if (folio == nullptr) break;
    // A partial install has brought it already.
    const bool there = service->partial && service->there.test(i);
    const OpResult copied =
        there ? OpResult{0, kPageBytes}
              : SpaceOf(*region).CopyIn(region->AddressOf(page),
                                        bytes + i * kPageBytes, kPageBytes);
    if (!copied.ok()) {
      if (page == service->page) SetInstallError(service, copied.error);
      shared_.folios.Put(folio);
      continue;
    }
    MappedLocked(region, folio, /*active=*/true);
    shared_.swap.PutEntries(head + i, 1, region->group());
    shared_.counters.remote_pages.Sub(1);
    *served |= page == service->page;
    ++installed;
  }
  return installed;
}

}  // namespace farswap::pager

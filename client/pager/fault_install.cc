// FaultPath: installs that the kernel refused, or did half of.
#include <errno.h>

#include <bitset>

#include "absl/strings/str_cat.h"
#include "client/pager/fault_path.h"
#include "common/log_raw.h"

namespace farswap::pager {
namespace {

// Turns to copy the rest of an install that stopped half-way.
constexpr int kInstallAttempts = 8;

}  // namespace

bool FaultPath::InstalledLocked(Service* service, core::Folio* folio,
                                const char* bytes, OpResult result) {
  if (result.ok()) return true;
  Region* const region = service->region;
  char* const home = region->AddressOf(folio->index);
  const size_t size = BytesOf(folio->order);
  result = CopyRest(home, bytes, size, result);
  if (folio->order == kPmdOrder) {
    region->map().SetTable(folio->index / kPagesPerPmd, true);
  }
  if (result.ok()) return true;
  // ENOENT: the range is of several mappings, as after an mprotect of a part.
  const bool by_page =
      result.done > 0 || (result.error == ENOENT && folio->order > 0);
  if (by_page && CopyPages(home, bytes, result.done, size)) return true;
  if (result.error == EEXIST) {
    service->error = absl::DataLossError(
        "a page is present where it was taken out: the program mapped "
        "something over a part of the region");
  } else if (result.error != EAGAIN && result.error != ENOMEM) {
    service->error = absl::FailedPreconditionError(absl::StrCat(
        "the region is not as it was made (errno ", result.error,
        "): the program unmapped, remapped or protected a part of it"));
  }
  return false;
}

OpResult FaultPath::CopyRest(char* home, const char* bytes, size_t size,
                             OpResult result) {
  // What is refused as a move may do as a copy (mlocked, mprotected). And what
  // was installed may have been written to already: there is no way back, so
  // the rest is copied too.
  bool copy =
      result.done > 0 || result.error == EINVAL || result.error == EBUSY;
  for (int i = 0; copy && !result.ok() && i < kInstallAttempts; ++i) {
    const size_t at = result.done;
    const OpResult rest =
        shared_.space->CopyIn(home + at, bytes + at, size - at);
    result = {rest.error, at + rest.done};
    copy = result.done > 0;
  }
  return result;
}

bool FaultPath::CopyPages(char* home, const char* bytes, size_t done,
                          size_t size) {
  std::bitset<kPagesPerPmd> refused;
  int error = 0;
  for (size_t at = done; at < size; at += kPageBytes) {
    const OpResult page =
        shared_.space->CopyIn(home + at, bytes + at, kPageBytes);
    if (page.ok()) continue;
    refused.set(at / kPageBytes);
    error = page.error;
  }
  if (refused.count() * kPageBytes == size) return false;
  if (refused.none()) return true;
  LogRaw(LogLevel::kError,
         "%zu of the %zu pages at %p cannot be mapped and are lost: errno %d",
         refused.count(), size / kPageBytes, static_cast<void*>(home), error);
  shared_.counters.pages_lost.Add(refused.count());
  for (size_t i = 0; i < size / kPageBytes; ++i) {
    if (refused.test(i)) PoisonOrWake(home + i * kPageBytes, kPageBytes);
  }
  return true;
}

}  // namespace farswap::pager

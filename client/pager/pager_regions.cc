// Pager: regions.
#include <sys/mman.h>

#include <chrono>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "client/pager/mapping.h"
#include "client/pager/pager_impl.h"
#include "client/pager/region_end.h"

namespace farswap::pager {
namespace {

// For a change of the map that has happened to be told: the reader never waits.
constexpr std::chrono::seconds kVacateWait{10};

}  // namespace

absl::StatusOr<Region*> Pager::Impl::CreateRegion(
    Group* group, const RegionOptions& options) {
  const std::shared_ptr<Group> owner = FindGroup(group);
  if (owner == nullptr) {
    return absl::InvalidArgumentError("there is no such group");
  }
  // 47 bits of addresses, and room to align.
  if (options.bytes == 0 || options.bytes > (uint64_t{1} << 46)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a region of ", options.bytes, " bytes: give 1 byte to 64 TiB"));
  }
  const uint64_t bytes = AlignUp(options.bytes, kPmdBytes);
  char* const at = MapAligned(bytes);
  if (at == nullptr) {
    return absl::ResourceExhaustedError("no address space for the region");
  }
  // The addresses may be some that the program has just unmapped.
  const SteadyTime until = std::chrono::steady_clock::now() + kVacateWait;
  while (!mm_->regions.PiecesIn(at, at + bytes).empty() ||
         !mm_->space->Settled(at, bytes)) {
    if (std::chrono::steady_clock::now() > until) {
      munmap(at, bytes);
      return absl::UnavailableError("the region's addresses are not free yet");
    }
    std::this_thread::sleep_for(std::chrono::microseconds(50));
    changes_->Apply();
  }
  // Found before it faults.
  Region* const region = mm_->regions.Add(
      std::make_unique<Region>(mm_, at, bytes, owner, options));
  const absl::Status status = uffd_->Register(at, bytes);
  if (!status.ok()) {
    std::vector<RegionTable::Piece> pieces;
    mm_->regions.Remove(region, &pieces);
    munmap(at, bytes);
    return status;
  }
  // Else a forked child has nothing there: SIGSEGV.
  (void)uffd_->Inherit(at, bytes);
  return region;
}

bool Pager::Impl::IsSettled(const Region* region) const {
  return absl::c_all_of(
      mm_->regions.PiecesOf(region), [this](const auto& piece) {
        return mm_->space->Settled(piece.start, piece.pages() * kPageBytes);
      });
}

absl::Status Pager::Impl::DestroyRegion(Region* region) {
  if (mm_->regions.Hold(region) == nullptr) {
    return absl::InvalidArgumentError("there is no such region");
  }
  // What the program did to it before is done first, wherever it is.
  const SteadyTime until = std::chrono::steady_clock::now() + kVacateWait;
  while (!IsSettled(region) && std::chrono::steady_clock::now() < until) {
    changes_->Apply();
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
  const bool ended = EndRegion(
      &shared_, reclaim_.get(), region,
      [this](const RegionTable::Piece& piece) {
        mm_->space->Unmap(piece.start,
                          static_cast<size_t>(piece.end - piece.start));
      });
  if (!ended) return absl::InvalidArgumentError("there is no such region");
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> Pager::Impl::PageOut(Region* region) {
  const std::shared_ptr<Region> keep = mm_->regions.Hold(region);
  if (keep == nullptr) {
    return absl::InvalidArgumentError("there is no such region");
  }
  const uint64_t pages = region->length() / kPageBytes;
  return reclaim_->TakeOutRange(region, 0, pages) * kPageBytes;
}

}  // namespace farswap::pager

#include "client/core/readahead.h"

#include <algorithm>
#include <bit>

#include "common/check.h"
#include "common/units.h"

namespace farswap::core {
namespace {

uint32_t CheckedMax(uint32_t max_pages) {
  FARSWAP_CHECK(std::has_single_bit(max_pages));
  FARSWAP_CHECK(max_pages <= ReadaheadState::kMaxPages);
  return max_pages;
}

bool Adjacent(uint64_t a, uint64_t b) { return a + 1 == b || b + 1 == a; }

}  // namespace

uint32_t ReadaheadPages(uint32_t hits, bool adjacent, uint32_t previous,
                        uint32_t max_pages) {
  uint32_t pages = adjacent ? 2 : 1;
  if (hits != 0) pages = std::bit_ceil(hits + 2);  // At least 4: 1 + 2 are 3.
  return std::min(std::max(pages, previous / 2), max_pages);
}

// --- state ---

ReadaheadState::Step ReadaheadState::OnFault(uint64_t position,
                                             uint32_t max_pages) {
  uint64_t word = word_.load(std::memory_order_relaxed);
  Step step;
  do {
    step.last = PositionOf(word);
    step.pages = ReadaheadPages(HitsOf(word), Adjacent(step.last, position),
                                WindowOf(word), max_pages);
  } while (!word_.compare_exchange_weak(word, Word(position, step.pages, 0),
                                        std::memory_order_relaxed));
  return step;
}

void ReadaheadState::OnHit(std::optional<uint64_t> position) {
  uint64_t word = word_.load(std::memory_order_relaxed);
  uint64_t next = 0;
  do {
    const uint32_t hits = std::min(HitsOf(word) + 1, kMaxHits);
    next = Word(position.value_or(PositionOf(word)), WindowOf(word), hits);
  } while (!word_.compare_exchange_weak(word, next, std::memory_order_relaxed));
}

// --- by address ---

AddressReadahead::AddressReadahead(uint32_t max_pages)
    : max_pages_(CheckedMax(max_pages)) {}

AddressReadahead::Window AddressReadahead::OnFault(uint64_t page,
                                                   uint64_t region_pages) {
  const ReadaheadState::Step step = state_.OnFault(page, max_pages_);
  // How many of the window's pages are below the fault.
  uint64_t below = (step.pages - 1) / 2;
  if (step.last + 1 == page) below = 0;
  if (page + 1 == step.last) below = step.pages - 1;
  const uint64_t block = AlignDown(page, kPagesPerPmd);
  const uint64_t end = std::min<uint64_t>(
      {page - below + step.pages, block + kPagesPerPmd, region_pages});
  const uint64_t first = page - std::min(below, page - block);
  return {first, static_cast<uint32_t>(end - first)};
}

// --- by slot ---

ClusterReadahead::ClusterReadahead(uint32_t max_pages)
    : max_pages_(CheckedMax(max_pages)) {}

ClusterReadahead::Window ClusterReadahead::OnFault(SwapEntry entry) {
  const ReadaheadState::Step step = state_.OnFault(entry.raw(), max_pages_);
  // A power of two: the cap and the window before are, and so is what follows.
  return {entry.AlignedTo(std::bit_width(step.pages) - 1), step.pages};
}

}  // namespace farswap::core

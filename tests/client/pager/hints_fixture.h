// Regions whose pages are known, and looks at where they are.
#ifndef FARSWAP_TESTS_CLIENT_PAGER_HINTS_FIXTURE_H_
#define FARSWAP_TESTS_CLIENT_PAGER_HINTS_FIXTURE_H_

#include <algorithm>
#include <cstdint>
#include <vector>

#include "client/pager/hints.h"
#include "client/pager/pager.h"
#include "tests/client/pager/pager_fixture.h"

namespace farswap::pager {

class HintsTest : public PagerTest {
 protected:
  // A region whose page p holds stamp p + 1.
  char* Filled(uint64_t bytes, bool huge = true) {
    char* const at = AddRegion(bytes, huge);
    for (uint64_t p = 0; p < bytes / kPageBytes; ++p) {
      FillPage(at + p * kPageBytes, p + 1);
    }
    return at;
  }
  Hints& hints() { return pager_->hints(); }
  Region* region() { return regions_.back(); }

  // How many pages of the range are in that state.
  uint64_t Count(PageState state, uint64_t offset, uint64_t bytes) {
    std::vector<uint8_t> pages(bytes / kPageBytes);
    EXPECT_TRUE(hints().Residency(region(), offset, bytes, pages.data()).ok());
    return static_cast<uint64_t>(
        std::count(pages.begin(), pages.end(), static_cast<uint8_t>(state)));
  }
  // Takes all of the range out; returns the bytes. A hint's one pass leaves
  // what a change of the map stands in the way of at that moment.
  uint64_t Chill(uint64_t offset, uint64_t bytes) {
    uint64_t taken = 0;
    EXPECT_TRUE(Eventually([&] {
      const auto once = hints().Cold(region(), offset, bytes);
      EXPECT_TRUE(once.ok()) << once.status();
      taken += once.value_or(0);
      return Count(PageState::kRemote, offset, bytes) == bytes / kPageBytes;
    }));
    return taken;
  }
  // Pages [first, end) hold their stamps.
  void ExpectFilled(const char* at, uint64_t first, uint64_t end) {
    for (uint64_t p = first; p < end; ++p) {
      ASSERT_TRUE(PageIs(at + p * kPageBytes, p + 1)) << "page " << p;
    }
  }
  static bool IsZeroPage(const char* page) {
    return std::all_of(page, page + kPageBytes, [](char c) { return c == 0; });
  }
  // Uses more local memory than there is.
  void Press(uint64_t bytes) {
    char* const other = AddRegion(bytes);
    for (uint64_t p = 0; p < bytes / kPageBytes; ++p) {
      FillPage(other + p * kPageBytes, 1'000'000 + p);
    }
    regions_.insert(regions_.begin(), regions_.back());
    regions_.pop_back();
  }
};

}  // namespace farswap::pager

#endif  // FARSWAP_TESTS_CLIENT_PAGER_HINTS_FIXTURE_H_

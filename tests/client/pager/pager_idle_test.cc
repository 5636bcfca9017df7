// What far memory costs that nobody uses: nothing is sized by capacity.
#include <cstdint>
#include <fstream>
#include <sstream>
#include <string>

#include "common/units.h"
#include "gtest/gtest.h"
#include "tests/client/pager/pager_fixture.h"

namespace farswap::pager {
namespace {

constexpr uint64_t kTiB = uint64_t{1} << 40;

// A line of /proc/self/status, in KiB.
uint64_t StatusKiB(const std::string& field) {
  std::ifstream status("/proc/self/status");
  std::string line;
  while (std::getline(status, line)) {
    if (line.rfind(field + ":", 0) != 0) continue;
    std::istringstream rest(line.substr(field.size() + 1));
    uint64_t kib = 0;
    rest >> kib;
    return kib;
  }
  ADD_FAILURE() << "no " << field << " in /proc/self/status";
  return 0;
}

struct Footprint {
  uint64_t resident_kib = StatusKiB("RssAnon") + StatusKiB("VmPTE");
  uint64_t mapped_kib = StatusKiB("VmSize");
};

// Seen to fail with a page map that has its block words from the start: 4 MiB.
TEST_F(PagerTest, ATebibyteThatNobodyTouchesIsFree) {
  Start(64 * kMiB);
  // The first region makes what any region needs.
  AddRegion(kPmdBytes);
  const Footprint before;
  AddRegion(kTiB);
  const Footprint after;
  EXPECT_LE(after.resident_kib, before.resident_kib + 1024);
  // Beside the range itself.
  EXPECT_LE(after.mapped_kib, before.mapped_kib + kTiB / 1024 + 1024);
}

// What is touched costs, and nothing beside it.
TEST_F(PagerTest, ATebibyteOfWhichLittleIsTouched) {
  Start(64 * kMiB);
  AddRegion(kPmdBytes);
  const Footprint before;
  char* const at = AddRegion(kTiB, /*huge=*/false);
  constexpr uint64_t kTouches = 16;
  for (uint64_t i = 0; i < kTouches; ++i) {
    FillPage(at + i * (kTiB / kTouches), i + 1);
  }
  for (uint64_t i = 0; i < kTouches; ++i) {
    EXPECT_TRUE(PageIs(at + i * (kTiB / kTouches), i + 1)) << i;
  }
  const Footprint after;
  // Each: 64 KiB of pages, a leaf and a table of the page map, and the
  // kernel's own two levels of page tables.
  const uint64_t each_kib = 64 + 4 + 4 + 8;
  EXPECT_LE(after.resident_kib,
            before.resident_kib + kTouches * each_kib + 1024);
}

}  // namespace
}  // namespace farswap::pager

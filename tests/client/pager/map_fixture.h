// Pages that hold their number, for tests that change the map under them.
#ifndef FARSWAP_TESTS_CLIENT_PAGER_MAP_FIXTURE_H_
#define FARSWAP_TESTS_CLIENT_PAGER_MAP_FIXTURE_H_

#include <sys/mman.h>

#include <cstring>

#include "common/units.h"
#include "tests/client/pager/pager_fixture.h"

namespace farswap::pager {

class MapFixture : public PagerTest {
 protected:
  // Pages `first` .. `first + count` hold their number, plus `salt`.
  static void Fill(char* at, uint64_t first, uint64_t count,
                   uint64_t salt = 0) {
    for (uint64_t p = first; p < first + count; ++p) {
      FillPage(at + p * kPageBytes, p + salt);
    }
  }
  static void ExpectFilled(const char* at, uint64_t first, uint64_t count,
                           uint64_t salt = 0) {
    for (uint64_t p = first; p < first + count; ++p) {
      ASSERT_TRUE(PageIs(at + p * kPageBytes, p + salt)) << "page " << p;
    }
  }
  static void ExpectZeros(const char* at, uint64_t first, uint64_t count) {
    static const char zeros[kPageBytes] = {};
    for (uint64_t p = first; p < first + count; ++p) {
      ASSERT_EQ(std::memcmp(at + p * kPageBytes, zeros, kPageBytes), 0)
          << "page " << p;
    }
  }
  // Events are applied some time after they were read.
  bool EventuallyRemote(uint64_t bytes) {
    return Eventually([&] { return pager_->Stats().remote_bytes == bytes; });
  }
  static int Discard(char* at, uint64_t first, uint64_t count,
                     int advice = MADV_DONTNEED) {
    return madvise(at + first * kPageBytes, count * kPageBytes, advice);
  }
  // Address space that is free for `pages`, `skew` pages past a block's start.
  // It is not given back: others may live in what was moved on from there.
  static char* Room(uint64_t pages, uint64_t skew) {
    const size_t bytes = (pages + 1024) * kPageBytes;
    auto* const room = static_cast<char*>(
        mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    EXPECT_NE(room, MAP_FAILED);
    const auto at = reinterpret_cast<uint64_t>(room);
    return room + (AlignUp(at, kPmdBytes) - at) + skew * kPageBytes;
  }
  static char* MoveTo(char* from, uint64_t pages, char* to, int flags = 0) {
    return static_cast<char*>(
        mremap(from, pages * kPageBytes, pages * kPageBytes,
               MREMAP_MAYMOVE | MREMAP_FIXED | flags, to));
  }
};

}  // namespace farswap::pager

#endif  // FARSWAP_TESTS_CLIENT_PAGER_MAP_FIXTURE_H_

// Pages that hold their number, for tests that change the map under them.
#ifndef FARSWAP_TESTS_CLIENT_PAGER_MAP_FIXTURE_H_
#define FARSWAP_TESTS_CLIENT_PAGER_MAP_FIXTURE_H_

#include <sys/mman.h>

#include <cstring>

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
};

}  // namespace farswap::pager

#endif  // FARSWAP_TESTS_CLIENT_PAGER_MAP_FIXTURE_H_

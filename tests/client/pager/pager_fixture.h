// A pager over an in-memory transport, and far memory whose every page can be
// told from every other.
#ifndef FARSWAP_TESTS_CLIENT_PAGER_PAGER_FIXTURE_H_
#define FARSWAP_TESTS_CLIENT_PAGER_PAGER_FIXTURE_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

#include "client/pager/pager.h"
#include "common/units.h"
#include "gtest/gtest.h"
#include "tests/client/pager/stamped_page.h"
#include "tests/client/remote/memory_transport.h"

namespace farswap::pager {

inline constexpr uint64_t kMiB = uint64_t{1} << 20;

// AnonHugePages or Rss of the mapping that holds `at`, in KiB.
uint64_t SmapsKiB(const char* at, const char* field);

// Whether reading the byte works; false: it raised SIGBUS.
bool IsReadable(const char* at);

// Waits for `condition`, looking often, at most 30 s.
bool Eventually(const std::function<bool()>& condition);

class PagerTest : public testing::Test {
 protected:
  using Call = remote::MemoryTransport::Call;

  void Start(
      uint64_t limit_bytes, size_t max_clusters = 1024,
      std::chrono::milliseconds fault_deadline = std::chrono::seconds(30),
      size_t staging_bytes = 32 * kMiB, const Pager::Wrap& wrap = nullptr);
  char* AddRegion(uint64_t bytes, bool huge = true,
                  FailPolicy policy = FailPolicy::kPoison);
  void TearDown() override;

  // Takes all of a region out, and waits until it is stored.
  void PushOut(Region* region);

  remote::MemoryTransport* transport_ = nullptr;  // The pager's.
  std::unique_ptr<Pager> pager_;
  Group* group_ = nullptr;
  std::vector<Region*> regions_;
};

}  // namespace farswap::pager

#endif  // FARSWAP_TESTS_CLIENT_PAGER_PAGER_FIXTURE_H_

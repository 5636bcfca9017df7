#include "tests/client/pager/pager_fixture.h"

#include <setjmp.h>
#include <signal.h>

#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>

namespace farswap::pager {

uint64_t SmapsKiB(const char* at, const char* field) {
  std::ifstream smaps("/proc/self/smaps");
  const auto address = reinterpret_cast<uintptr_t>(at);
  bool inside = false;
  uint64_t total = 0;
  for (std::string line; std::getline(smaps, line);) {
    uintptr_t start = 0;
    uintptr_t end = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx ", &start, &end) == 2) {
      inside = start <= address && address < end;
    } else if (inside && line.rfind(std::string(field) + ":", 0) == 0) {
      total += std::stoull(line.substr(std::string(field).size() + 1));
    }
  }
  return total;
}

namespace {

thread_local sigjmp_buf on_sigbus;
thread_local volatile sig_atomic_t expected = 0;

void JumpOut(int) {
  if (expected) siglongjmp(on_sigbus, 1);
  signal(SIGBUS, SIG_DFL);  // Nobody expects it: let it kill.
}

}  // namespace

bool IsReadable(const char* at) {
  // Once and for good: several threads may be at this at a time.
  [[maybe_unused]] static const auto before = signal(SIGBUS, JumpOut);
  volatile bool readable = false;
  if (sigsetjmp(on_sigbus, 1) == 0) {
    expected = 1;
    [[maybe_unused]] const char byte = *const_cast<const volatile char*>(at);
    readable = true;
  }
  expected = 0;
  return readable;
}

bool Eventually(const std::function<bool()>& condition) {
  const auto until =
      std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

void PagerTest::Start(uint64_t limit_bytes, size_t max_clusters,
                      std::chrono::milliseconds fault_deadline,
                      size_t staging_bytes, const Pager::Wrap& wrap) {
  auto transport = std::make_unique<remote::MemoryTransport>(
      remote::MemoryTransport::Options{.max_clusters = max_clusters});
  transport_ = transport.get();
  PagerOptions options;
  options.fault_deadline = fault_deadline;
  options.staging_bytes = staging_bytes;
  auto pager = Pager::CreateForTest(options, std::move(transport), wrap);
  ASSERT_TRUE(pager.ok()) << pager.status();
  pager_ = std::move(*pager);
  auto group = pager_->CreateGroup(limit_bytes);
  ASSERT_TRUE(group.ok()) << group.status();
  group_ = *group;
}

char* PagerTest::AddRegion(uint64_t bytes, bool huge, FailPolicy policy) {
  auto region = pager_->CreateRegion(
      group_, {.bytes = bytes, .fail_policy = policy, .huge = huge});
  if (!region.ok()) {
    ADD_FAILURE() << region.status();
    return nullptr;
  }
  regions_.push_back(*region);
  return (*region)->address();
}

void PagerTest::TearDown() {
  if (pager_ == nullptr) return;
  for (int call = 0; call < 4; ++call) {
    transport_->Release(static_cast<Call>(call));
  }
  for (Region* region : regions_) {
    EXPECT_TRUE(pager_->DestroyRegion(region).ok());
  }
  EXPECT_EQ(pager_->Stats().resident_bytes, 0u);
  EXPECT_EQ(pager_->Stats().remote_bytes, 0u);
  EXPECT_TRUE(Eventually([&] { return pager_->IsIdle(); }));
  pager_->CheckInvariants();
  EXPECT_EQ(group_->usage(), 0u);
  EXPECT_EQ(group_->swap_usage(), 0u);
  EXPECT_TRUE(pager_->DestroyGroup(group_).ok());
  regions_.clear();
  pager_.reset();
}

void PagerTest::PushOut(Region* region) {
  // Folios whose last put is under way stay until it is done.
  EXPECT_TRUE(Eventually([&] {
    return pager_->PageOut(region).ok() &&
           SmapsKiB(region->address(), "Rss") == 0;
  }));
  // Until its put is done a folio would come back from staging.
  EXPECT_TRUE(Eventually([&] { return transport_->puts_under_way() == 0; }));
}

}  // namespace farswap::pager

// A tree of unmodified processes, paged for by this test: the supervisor of
// farswap-pager and an in-memory transport in the test, the real preload
// library in the processes.
#ifndef FARSWAP_TESTS_CLIENT_LAUNCHER_PAGER_TREE_FIXTURE_H_
#define FARSWAP_TESTS_CLIENT_LAUNCHER_PAGER_TREE_FIXTURE_H_

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "client/launcher/pager/supervisor.h"
#include "client/pager/tree/tree_pager.h"
#include "gtest/gtest.h"
#include "tests/client/pager/pager_fixture.h"
#include "tests/client/remote/memory_transport.h"

namespace farswap::launcher {

using pager::Eventually;
using pager::kMiB;

class TreeTest : public testing::Test {
 protected:
  void Start(uint64_t limit_bytes);
  // Ends the tree as farswap-run's end does, and waits for it.
  void TearDown() override;

  // Starts a program of the tree.
  pid_t Spawn(const std::vector<std::string>& command);
  // What it exits with, 100 and the signal's number if it is ended by one, -1
  // if it has not ended in two minutes, and is ended then.
  int Await(pid_t pid);
  // Until a signal has stopped it. False: not in time.
  static bool AwaitStop(pid_t pid);
  // The test program (program.h).
  int Run(const std::string& name, int mib);
  pid_t SpawnProgram(const std::string& name, int mib);

  // The most private memory that the processes below this one had at a time,
  // what is shared counted once, in bytes; since Start.
  uint64_t peak_bytes() const { return peak_.load(); }

  remote::MemoryTransport* transport_ = nullptr;  // The pager's.
  std::unique_ptr<Supervisor> supervisor_;
  std::unique_ptr<pager::TreePager> pager_;
  std::optional<bool> ended_well_;

  void SayBye();
  // Waits for the supervisor's end.
  void AwaitEnd();

 private:
  void Sample();

  pager::OwnFd control_;
  std::string run_variable_;
  std::thread thread_;
  std::thread sampler_;
  std::atomic<bool> stop_{false};
  std::atomic<uint64_t> peak_{0};
};

}  // namespace farswap::launcher

#endif  // FARSWAP_TESTS_CLIENT_LAUNCHER_PAGER_TREE_FIXTURE_H_

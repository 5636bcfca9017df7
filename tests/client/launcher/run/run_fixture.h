// farswap-run with a fake preload library and a fake pager.
//
// Every wait has a bound, and what a test has started ends with it, whatever
// became of it.
#ifndef FARSWAP_TESTS_CLIENT_LAUNCHER_RUN_RUN_FIXTURE_H_
#define FARSWAP_TESTS_CLIENT_LAUNCHER_RUN_RUN_FIXTURE_H_

#include <gtest/gtest.h>
#include <sys/types.h>

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "client/launcher/run/fd.h"

namespace farswap::launcher {

// Lines from a descriptor, each within a bounded time.
class Lines {
 public:
  Lines() = default;
  explicit Lines(Fd fd) : fd_(std::move(fd)) {}
  // "(end)" when there are no more, "(nothing)" if none comes in time.
  std::string Next();
  // Skips lines until one contains `part`, and returns it; else as Next.
  std::string Find(const std::string& part);
  // All to the end.
  std::string Rest();

 private:
  Fd fd_;
  std::string read_;
};

class RunTest : public testing::Test {
 public:
  ~RunTest() override;

 protected:
  RunTest();

  // Runs farswap-run with `arguments`; `prepare` in the child before exec.
  void Start(const std::vector<std::string>& arguments,
             const std::function<void()>& prepare = {});
  // Its end: its status as of wait, and what it had to say.
  int Wait();
  int RunToEnd(const std::vector<std::string>& arguments,
               const std::function<void()>& prepare = {});
  // Ends what waits for the end of stdin.
  void CloseInput() { input_.Reset(); }
  // Also of its children, which the test inherits. False: not in time.
  bool WaitForEnd(pid_t pid);
  // The state in /proc/PID/stat, as soon as it is `state`; else the last one.
  static char WaitForState(pid_t pid, char state);
  // Until what it executes is called that. False: not in time.
  static bool WaitForName(pid_t pid, const std::string& name);
  // Until it has taken the signal, which it was sent. False: not in time.
  static bool WaitForSignal(pid_t pid, int signal);

  // To fake_pager, which does nothing by itself from then on.
  void TakeOrders();
  void Order(const std::string& order);

  std::string Path(const std::string& name) const { return folder_ + name; }
  static std::string Tool(const char* variable);

  std::map<std::string, std::string> environment_;
  pid_t pid_ = 0;
  Lines out_;
  Lines error_;
  Lines pager_;

 private:
  std::string folder_;
  Fd input_;
  Fd orders_;
};

}  // namespace farswap::launcher

#endif  // FARSWAP_TESTS_CLIENT_LAUNCHER_RUN_RUN_FIXTURE_H_

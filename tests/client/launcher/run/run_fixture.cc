#include "tests/client/launcher/run/run_fixture.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>

#include "client/launcher/run/proc.h"

namespace farswap::launcher {
namespace {

constexpr int kWaitMs = 20000;
// Between two looks at what nobody tells of.
constexpr int kLookMs = 5;

struct Pipe {
  Fd out;
  Fd in;
};

Pipe MakePipe() {
  int ends[2] = {-1, -1};
  EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
  return {Fd(ends[0]), Fd(ends[1])};
}

// Of those that were sent to the process.
std::optional<uint64_t> PendingSignals(pid_t pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string word; status >> word;) {
    if (word != "ShdPnd:") continue;
    uint64_t signals = 0;
    status >> std::hex >> signals;
    return signals;
  }
  return std::nullopt;
}

Fd MakeFifo(const std::string& path) {
  EXPECT_EQ(mkfifo(path.c_str(), 0600), 0);
  // For writing, too, so that it is open before the other side is.
  return Fd(open(path.c_str(), O_RDWR | O_CLOEXEC));
}

// False: it did not become so in time.
bool LookUntil(const std::function<bool()>& is_so) {
  for (int round = 0; round < kWaitMs / kLookMs; ++round) {
    if (is_so()) return true;
    usleep(kLookMs * 1000);
  }
  return false;
}

}  // namespace

std::string Lines::Next() {
  for (;;) {
    const size_t end = read_.find('\n');
    if (end != std::string::npos) {
      const std::string line = read_.substr(0, end);
      read_.erase(0, end + 1);
      return line;
    }
    pollfd ready{fd_.get(), POLLIN, 0};
    if (poll(&ready, 1, kWaitMs) <= 0) return "(nothing)";
    char text[4096];
    const ssize_t n = read(fd_.get(), text, sizeof(text));
    if (n <= 0) return "(end)";
    read_.append(text, static_cast<size_t>(n));
  }
}

std::string Lines::Find(const std::string& part) {
  for (;;) {
    std::string line = Next();
    if (line.find(part) != std::string::npos || line == "(end)" ||
        line == "(nothing)") {
      return line;
    }
  }
}

std::string Lines::Rest() {
  std::string all;
  for (;;) {
    const std::string line = Next();
    if (line == "(end)") return all;
    all += line + "\n";
    if (line == "(nothing)") return all;
  }
}

RunTest::RunTest() {
  char folder[] = "/tmp/farswap-run-test-XXXXXX";
  folder_ = std::string(mkdtemp(folder)) + "/";
  // Who outlives farswap-run is this test's to end.
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  environment_["FARSWAP_PRELOAD"] = Tool("TEST_PRELOAD");
  environment_["FARSWAP_PAGER"] = Tool("TEST_PAGER");
  environment_["FAKE_PAGER_LOG"] = Path("log");
  pager_ = Lines(MakeFifo(Path("log")));
}

RunTest::~RunTest() {
  for (int round = 0; round < kWaitMs / kLookMs; ++round) {
    while (waitpid(-1, nullptr, WNOHANG | __WALL) > 0) {
    }
    const std::vector<pid_t> left = Descendants(getpid(), 0);
    if (left.empty()) break;
    for (const pid_t pid : left) KillDescendant(pid, getpid(), 0);
    usleep(kLookMs * 1000);
  }
  std::filesystem::remove_all(folder_);
}

std::string RunTest::Tool(const char* variable) {
  const char* path = std::getenv(variable);
  return path == nullptr ? "" : std::filesystem::absolute(path).string();
}

void RunTest::Start(const std::vector<std::string>& arguments,
                    const std::function<void()>& prepare) {
  Pipe input = MakePipe();
  Pipe out = MakePipe();
  Pipe error = MakePipe();
  const std::string program = Tool("TEST_RUN");
  pid_ = fork();
  if (pid_ == 0) {
    dup2(input.out.get(), 0);
    dup2(out.in.get(), 1);
    dup2(error.in.get(), 2);
    for (const auto& [name, value] : environment_) {
      setenv(name.c_str(), value.c_str(), 1);
    }
    if (prepare) prepare();
    std::vector<char*> argv = {const_cast<char*>("farswap-run")};
    for (const std::string& argument : arguments) {
      argv.push_back(const_cast<char*>(argument.c_str()));
    }
    argv.push_back(nullptr);
    execv(program.c_str(), argv.data());
    _exit(99);
  }
  input_ = std::move(input.in);
  out_ = Lines(std::move(out.out));
  error_ = Lines(std::move(error.out));
}

int RunTest::Wait() {
  EXPECT_TRUE(WaitForEnd(pid_)) << "farswap-run does not end";
  int status = -1;
  EXPECT_EQ(waitpid(pid_, &status, WNOHANG), pid_);
  return status;
}

int RunTest::RunToEnd(const std::vector<std::string>& arguments,
                      const std::function<void()>& prepare) {
  Start(arguments, prepare);
  CloseInput();
  return Wait();
}

bool RunTest::WaitForEnd(pid_t pid) {
  const Fd pidfd = OpenPidfd(pid);
  if (!pidfd.valid()) return true;
  pollfd ended{pidfd.get(), POLLIN, 0};
  return poll(&ended, 1, kWaitMs) == 1;
}

char RunTest::WaitForState(pid_t pid, char state) {
  char last = '?';
  (void)LookUntil([&] {
    const std::optional<ProcStat> stat = ReadStat(pid);
    last = stat.has_value() ? stat->state : '?';
    return last == state;
  });
  return last;
}

bool RunTest::WaitForName(pid_t pid, const std::string& name) {
  return LookUntil([&] {
    const std::optional<ProcStat> stat = ReadStat(pid);
    return stat.has_value() && stat->name == name;
  });
}

bool RunTest::WaitForSignal(pid_t pid, int signal) {
  const uint64_t bit = uint64_t{1} << (signal - 1);
  std::optional<uint64_t> pending;
  (void)LookUntil([&] {
    pending = PendingSignals(pid);
    return !pending.has_value() || (*pending & bit) == 0;
  });
  return pending.has_value() && (*pending & bit) == 0;
}

void RunTest::TakeOrders() {
  std::filesystem::remove(Path("orders"));
  orders_ = MakeFifo(Path("orders"));
  environment_["FAKE_PAGER_ORDERS"] = Path("orders");
}

void RunTest::Order(const std::string& order) {
  const std::string line = order + "\n";
  EXPECT_EQ(write(orders_.get(), line.data(), line.size()),
            static_cast<ssize_t>(line.size()));
}

}  // namespace farswap::launcher

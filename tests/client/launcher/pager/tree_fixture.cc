#include "tests/client/launcher/pager/tree_fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>

#include "client/launcher/pager_wire.h"
#include "client/launcher/process/priority.h"
#include "client/launcher/process/socket_io.h"

namespace farswap::launcher {
namespace {

constexpr char kPreload[] = "client/launcher/preload/libfarswap-preload.so";
constexpr char kProgram[] = "tests/client/launcher/pager/program";
// Nobody guesses it who does not try to.
constexpr uint8_t kSecret = 0x5a;

void AddChildren(pid_t pid, std::vector<pid_t>* pids) {
  std::error_code error;
  const std::string tasks = "/proc/" + std::to_string(pid) + "/task";
  for (const auto& task : std::filesystem::directory_iterator(tasks, error)) {
    std::ifstream children(task.path() / "children");
    for (pid_t child; children >> child;) {
      pids->push_back(child);
      AddChildren(child, pids);
    }
  }
}

// What a tracer is told, which is a thread of this process, is left to it.
bool HasEnded(pid_t pid) {
  siginfo_t info{};
  const int flags = WEXITED | WNOHANG | WNOWAIT;
  if (waitid(P_PID, static_cast<id_t>(pid), &info, flags) != 0) return true;
  return info.si_pid == pid && info.si_code != CLD_TRAPPED &&
         info.si_code != CLD_STOPPED;
}

// A child is this program for a moment.
bool IsThisProgram(pid_t pid) {
  std::error_code error;
  const auto exe = std::filesystem::read_symlink(
      "/proc/" + std::to_string(pid) + "/exe", error);
  return exe == std::filesystem::read_symlink("/proc/self/exe", error);
}

uint64_t PssAnon(pid_t pid) {
  if (IsThisProgram(pid)) return 0;
  std::ifstream smaps("/proc/" + std::to_string(pid) + "/smaps_rollup");
  for (std::string word; smaps >> word;) {
    uint64_t kib = 0;
    if (word == "Pss_Anon:" && smaps >> kib) return kib << 10;
  }
  return 0;
}

}  // namespace

void TreeTest::Start(uint64_t limit_bytes) {
  GetMost();  // As farswap-pager.
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
  control_ = pager::OwnFd(ends[0]);
  pager::OwnFd device(open("/dev/userfaultfd", O_RDWR | O_CLOEXEC));
  ASSERT_TRUE(device.valid());
  supervisor_ = std::make_unique<Supervisor>(limit_bytes, pager::OwnFd(ends[1]),
                                             std::move(device));
  auto transport = std::make_unique<remote::MemoryTransport>(
      remote::MemoryTransport::Options{.max_clusters = 1024});
  transport_ = transport.get();
  pager::TreePager::Options options;
  options.limit_bytes = limit_bytes;
  options.on_fork = [this](const auto& parent, const auto& child) {
    supervisor_->OnFork(parent, child);
  };
  auto pager =
      pager::TreePager::Create(std::move(options), std::move(transport));
  ASSERT_TRUE(pager.ok()) << pager.status();
  pager_ = *std::move(pager);

  const std::string name =
      "farswap-tree-test-" + std::to_string(getpid()) + "-" +
      testing::UnitTest::GetInstance()->current_test_info()->name();
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path + 1, name.data(), name.size());
  const auto bytes =
      static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  const pager::OwnFd listening(
      socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  ASSERT_EQ(bind(listening.get(), reinterpret_cast<sockaddr*>(&address), bytes),
            0);
  ASSERT_EQ(listen(listening.get(), 64), 0);
  run_variable_ = std::string(kRunVariable) + "=" + name + ":";
  for (uint32_t i = 0; i < kSecretBytes; ++i) run_variable_ += "5a";
  Control control;
  control.kind = Control::Kind::kListen;
  std::memset(control.hello.secret, kSecret, kSecretBytes);
  ASSERT_EQ(
      SendPacket(control_.get(), &control, sizeof(control), listening.get()),
      0);
  thread_ =
      std::thread([this] { ended_well_ = supervisor_->Run(pager_.get()); });
  sampler_ = std::thread([this] { Sample(); });
}

void TreeTest::Sample() {
  while (!stop_.load()) {
    std::vector<pid_t> pids;
    AddChildren(getpid(), &pids);
    uint64_t sum = 0;
    for (const pid_t pid : pids) sum += PssAnon(pid);
    if (sum > peak_.load()) peak_.store(sum);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

void TreeTest::SayBye() {
  Control control;
  control.kind = Control::Kind::kBye;
  (void)SendPacket(control_.get(), &control, sizeof(control), -1);
}

void TreeTest::AwaitEnd() {
  if (thread_.joinable()) thread_.join();
}

void TreeTest::TearDown() {
  control_.Reset();
  AwaitEnd();
  stop_.store(true);
  if (sampler_.joinable()) sampler_.join();
  if (pager_ == nullptr) return;
  EXPECT_TRUE(Eventually([&] { return pager_->IsIdle(); }));
  pager_->CheckInvariants();
  pager_.reset();
}

pid_t TreeTest::Spawn(const std::vector<std::string>& command) {
  std::vector<char*> argv;
  for (const std::string& word : command) {
    argv.push_back(const_cast<char*>(word.c_str()));
  }
  argv.push_back(nullptr);
  const std::string preload =
      "LD_PRELOAD=" + std::filesystem::absolute(kPreload).string();
  char* const env[] = {const_cast<char*>(preload.c_str()),
                       const_cast<char*>(run_variable_.c_str()),
                       const_cast<char*>("PATH=/usr/bin:/bin"), nullptr};
  const pid_t pid = fork();
  if (pid == 0) {
    (void)setpriority(PRIO_PROCESS, 0, 0);
    execve(argv[0], argv.data(), env);
    _exit(127);
  }
  return pid;
}

int TreeTest::Await(pid_t pid) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::minutes(2);
  int status = 0;
  while (!HasEnded(pid)) {
    if (std::chrono::steady_clock::now() > until) {
      kill(pid, SIGKILL);
      waitpid(pid, &status, 0);
      return -1;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
}

pid_t TreeTest::SpawnProgram(const std::string& name, int mib) {
  return Spawn({kProgram, name, std::to_string(mib)});
}

bool TreeTest::AwaitStop(pid_t pid) {
  return Eventually([&] {
    std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
    std::string stat;
    std::getline(file, stat);
    return stat.find(") T") != std::string::npos;
  });
}

int TreeTest::Run(const std::string& name, int mib) {
  return Await(SpawnProgram(name, mib));
}

}  // namespace farswap::launcher

#include "tests/client/launcher/preload/program.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace farswap::launcher {
namespace {

constexpr int kLimitMs = 20000;

bool IsReadable(int fd) {
  pollfd ready{fd, POLLIN, 0};
  return poll(&ready, 1, kLimitMs) == 1;
}

// Where any user may read and run them, which a cache of builds need not be.
class Copies {
 public:
  Copies() {
    char folder[] = "/tmp/farswap-preload-XXXXXX";
    if (mkdtemp(folder) == nullptr || chmod(folder, 0755) != 0) abort();
    folder_ = folder;
    Take("client/launcher/preload/libfarswap-preload.so");
    Take("tests/client/launcher/preload/guest");
  }
  ~Copies() { std::filesystem::remove_all(folder_); }
  Copies(const Copies&) = delete;
  Copies& operator=(const Copies&) = delete;

  std::string Of(const std::string& name) const {
    return (folder_ / name).string();
  }

 private:
  void Take(const std::filesystem::path& from) const {
    std::filesystem::copy(from, folder_ / from.filename());
  }

  std::filesystem::path folder_;
};

std::string CopyOf(const std::string& name) {
  static const Copies copies;
  return copies.Of(name);
}

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (const std::string& s : strings) {
    pointers.push_back(const_cast<char*>(s.c_str()));
  }
  pointers.push_back(nullptr);
  return pointers;
}

std::vector<std::string> Environment(const std::string& run) {
  std::vector<std::string> environment = {"PATH=/usr/bin:/bin",
                                          "LD_PRELOAD=" + LibraryPath()};
  if (!run.empty()) environment.push_back("FARSWAP_RUN=" + run);
  return environment;
}

}  // namespace

std::string LibraryPath() { return CopyOf("libfarswap-preload.so"); }

std::string GuestPath() { return CopyOf("guest"); }

std::vector<std::string> Shell(const std::string& script) {
  return {"/bin/sh", "-c", script};
}

bool Has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

Program::Program(const std::vector<std::string>& arguments,
                 const std::string& run,
                 const std::function<void()>& in_child) {
  const std::vector<std::string> environment = Environment(run);
  int in[2];
  int out[2];
  int err[2];
  if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0 ||
      pipe2(err, O_CLOEXEC) != 0) {
    abort();
  }
  pid_ = fork();
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(in[0], 0);
    dup2(out[1], 1);
    dup2(err[1], 2);
    if (in_child) in_child();
    execve(arguments[0].c_str(), Pointers(arguments).data(),
           Pointers(environment).data());
    _exit(127);
  }
  close(in[0]);
  close(out[1]);
  close(err[1]);
  in_ = in[1];
  out_ = out[0];
  err_ = err[0];
}

Program::~Program() {
  if (!over_) {
    kill(pid_, SIGKILL);
    (void)Wait();
  }
  close(in_);
  close(out_);
  close(err_);
}

void Program::Say(const std::string& line) const {
  const std::string whole = line + "\n";
  // It may have ended; tests run with SIGPIPE ignored.
  (void)!write(in_, whole.data(), whole.size());
}

std::string Program::Line() const {
  std::string line;
  char c = 0;
  while (IsReadable(out_) && read(out_, &c, 1) == 1 && c != '\n') line += c;
  return line;
}

std::string Program::Ask(const std::string& line) const {
  Say(line);
  return Line();
}

int Program::Wait() {
  if (over_) return status_;
  const int pidfd = static_cast<int>(syscall(SYS_pidfd_open, pid_, 0));
  const bool ended = IsReadable(pidfd);
  close(pidfd);
  if (!ended) return -1;
  over_ = waitpid(pid_, &status_, 0) == pid_;
  return status_;
}

int Program::Code() {
  const int status = Wait();
  if (status == -1) return 1000;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

std::string Program::Errors() const {
  std::string all;
  char c = 0;
  while (IsReadable(err_) && read(err_, &c, 1) == 1) all += c;
  return all;
}

std::vector<std::string> Threads(pid_t pid) {
  std::vector<std::string> names;
  const std::string folder = "/proc/" + std::to_string(pid) + "/task";
  for (const auto& task : std::filesystem::directory_iterator(folder)) {
    std::ifstream file(task.path() / "comm");
    names.emplace_back();
    std::getline(file, names.back());
  }
  return names;
}

}  // namespace farswap::launcher

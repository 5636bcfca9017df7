#include "tests/client/remote/server_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <thread>
#include <utility>
#include <vector>

namespace farswap::remote {
namespace {

// As the test's `data` has it, below the directory that Bazel runs it in.
constexpr char kServer[] = "server/farswap-server";
// For a start, or an end, of it.
constexpr std::chrono::minutes kPatience{1};

std::string MakeDirectory() {
  // A tmpfs, so that the pool is memory; a short path, so that a socket fits.
  char path[] = "/dev/shm/farswap-XXXXXX";
  if (mkdtemp(path) == nullptr) abort();
  return path;
}

// In the child: the path and nothing of the test's but stderr to a file. The
// test may have many threads: nothing but system calls.
[[noreturn]] void Exec(char* const* argv, int out, int log) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  dup2(out, STDOUT_FILENO);
  dup2(log, STDERR_FILENO);
  execv(kServer, argv);
  _exit(127);
}

// The ready line, or what there is when the child ends or the time is over.
std::string ReadLine(int fd) {
  const auto until = std::chrono::steady_clock::now() + kPatience;
  std::string line;
  for (char c = 0; c != '\n';) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(
        until - std::chrono::steady_clock::now());
    pollfd readable = {fd, POLLIN, 0};
    if (left.count() <= 0 ||
        poll(&readable, 1, static_cast<int>(left.count())) <= 0 ||
        read(fd, &c, 1) != 1) {
      break;
    }
    if (c != '\n') line += c;
  }
  return line;
}

}  // namespace

ServerProcess::ServerProcess(bool unix_socket, std::string capacity)
    : directory_(MakeDirectory()),
      unix_socket_(unix_socket),
      capacity_(std::move(capacity)) {}

ServerProcess::~ServerProcess() {
  Kill();
  std::filesystem::remove_all(directory_);
}

bool ServerProcess::Start() {
  if (address_.empty()) {
    address_ = unix_socket_ ? "unix:" + directory_ + "/socket" : "127.0.0.1:0";
  }
  std::vector<std::string> args = {kServer,
                                   "--listen=" + address_,
                                   "--admin-listen=127.0.0.1:0",
                                   "--metrics-listen=127.0.0.1:0",
                                   "--data-dir=" + directory_ + "/data",
                                   "--pool=" + pool(),
                                   "--capacity=" + capacity_};
  std::vector<char*> argv;
  for (std::string& arg : args) argv.push_back(arg.data());
  argv.push_back(nullptr);
  int out[2];
  if (pipe2(out, O_CLOEXEC) != 0) return false;
  const int log_fd =
      open(log().c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  // Not fork(), whose handlers take locks that other threads may hold.
  pid_ = _Fork();
  if (pid_ == 0) Exec(argv.data(), out[1], log_fd);
  close(out[1]);
  close(log_fd);
  const std::string line = ReadLine(out[0]);
  close(out[0]);
  const std::string data = " data=";
  const size_t at = line.find(data);
  if (at == std::string::npos) {
    std::cerr << "no server: " << line << std::ifstream(log()).rdbuf();
    return false;
  }
  const size_t begin = at + data.size();
  address_ = line.substr(begin, line.find(' ', begin) - begin);
  return true;
}

void ServerProcess::Stop() const {
  kill(pid_, SIGSTOP);
  waitpid(pid_, nullptr, WUNTRACED);
}

void ServerProcess::Continue() const { kill(pid_, SIGCONT); }

void ServerProcess::Kill() {
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

bool ServerProcess::Terminate() {
  const auto until = std::chrono::steady_clock::now() + kPatience;
  int status = 0;
  kill(pid_, SIGTERM);
  while (waitpid(pid_, &status, WNOHANG) == 0) {
    if (std::chrono::steady_clock::now() > until) {
      Kill();
      return false;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  pid_ = -1;
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool ServerProcess::Continues() const {
  std::ifstream file(log());
  for (std::string line; std::getline(file, line);) {
    if (line.find(" continues: ") != std::string::npos) return true;
  }
  return false;
}

void ServerProcess::RemovePool() const { std::filesystem::remove(pool()); }

}  // namespace farswap::remote

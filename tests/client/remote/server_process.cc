#include "tests/client/remote/server_process.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iostream>
#include <vector>

namespace farswap::remote {
namespace {

// As the test's `data` has it, below the directory that Bazel runs it in.
constexpr char kServer[] = "server/farswap-server";

std::string MakeDirectory() {
  // A tmpfs, so that the pool is memory; a short path, so that a socket fits.
  char path[] = "/dev/shm/farswap-XXXXXX";
  if (mkdtemp(path) == nullptr) abort();
  return path;
}

// In the child: the path and nothing of the test's but stderr to a file.
[[noreturn]] void Exec(std::vector<std::string> args, int out, int log) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  dup2(out, STDOUT_FILENO);
  dup2(log, STDERR_FILENO);
  std::vector<char*> argv;
  for (std::string& arg : args) argv.push_back(arg.data());
  argv.push_back(nullptr);
  execv(kServer, argv.data());
  _exit(127);
}

// The ready line, or what there is when the child ends.
std::string ReadLine(int fd) {
  std::string line;
  char c = 0;
  while (read(fd, &c, 1) == 1 && c != '\n') line += c;
  return line;
}

}  // namespace

ServerProcess::ServerProcess(bool unix_socket)
    : directory_(MakeDirectory()), unix_socket_(unix_socket) {}

ServerProcess::~ServerProcess() {
  Kill();
  std::filesystem::remove_all(directory_);
}

bool ServerProcess::Start() {
  if (address_.empty()) {
    address_ = unix_socket_ ? "unix:" + directory_ + "/socket" : "127.0.0.1:0";
  }
  const std::vector<std::string> args = {kServer,
                                         "--listen=" + address_,
                                         "--admin-listen=127.0.0.1:0",
                                         "--metrics-listen=127.0.0.1:0",
                                         "--data-dir=" + directory_ + "/data",
                                         "--pool=" + directory_ + "/pool",
                                         "--capacity=64MiB"};
  const std::string log = directory_ + "/log";
  int out[2];
  if (pipe2(out, O_CLOEXEC) != 0) return false;
  const int log_fd =
      open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  pid_ = fork();
  if (pid_ == 0) Exec(args, out[1], log_fd);
  close(out[1]);
  close(log_fd);
  const std::string line = ReadLine(out[0]);
  close(out[0]);
  const std::string data = " data=";
  const size_t at = line.find(data);
  if (at == std::string::npos) {
    std::cerr << "no server: " << line << std::ifstream(log).rdbuf();
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

void ServerProcess::RemovePool() const {
  std::filesystem::remove(directory_ + "/pool");
}

}  // namespace farswap::remote

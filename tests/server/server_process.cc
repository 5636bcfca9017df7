#include "tests/server/server_process.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

namespace farswap::server {
namespace {

constexpr char kBinary[] = "server/farswap-server";

bool Names(const std::vector<std::string>& options, const std::string& name) {
  return std::any_of(options.begin(), options.end(),
                     [&](const std::string& option) {
                       return option.rfind(name + "=", 0) == 0;
                     });
}

// The word after `key` in the ready line.
std::string Field(const std::string& line, const std::string& key) {
  const size_t at = line.find(key);
  if (at == std::string::npos) return "";
  const size_t begin = at + key.size();
  return line.substr(begin, line.find_first_of(" \n", begin) - begin);
}

std::string ReadAll(int fd) {
  std::string text;
  char bytes[4096];
  for (ssize_t n; (n = read(fd, bytes, sizeof(bytes))) > 0;) {
    text.append(bytes, static_cast<size_t>(n));
  }
  return text;
}

}  // namespace

ServerProcess::ServerProcess(std::vector<std::string> options) {
  for (const char* name : {"--listen", "--admin-listen", "--metrics-listen"}) {
    if (!Names(options, name)) {
      options.push_back(std::string(name) + "=127.0.0.1:0");
    }
  }
  options.insert(options.begin(), kBinary);
  std::vector<char*> arguments;
  for (std::string& option : options) arguments.push_back(option.data());
  arguments.push_back(nullptr);
  int out[2];
  // A file, not a pipe: nobody reads it while the server runs.
  char name[] = "/tmp/farswap.log.XXXXXX";
  err_ = mkstemp(name);
  unlink(name);
  if (pipe2(out, O_CLOEXEC) != 0) return;
  pid_ = fork();
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(out[1], STDOUT_FILENO);
    dup2(err_, STDERR_FILENO);
    execv(kBinary, arguments.data());
    _exit(127);
  }
  close(out[1]);
  out_ = out[0];
  // One line, or the end of a server that refused to start.
  char c;
  while (read(out_, &c, 1) == 1) {
    output_ += c;
    if (c == '\n') break;
  }
  data_ = Field(output_, "data=");
  admin_ = Field(output_, "admin=");
  metrics_ = Field(output_, "metrics=");
}

ServerProcess::~ServerProcess() {
  if (pid_ > 0) End(SIGKILL);
  close(out_);
  close(err_);
}

int ServerProcess::End(int signal_number) {
  int status = 0;
  if (signal_number != 0) kill(pid_, signal_number);
  waitpid(pid_, &status, 0);
  pid_ = -1;
  output_ += ReadAll(out_);
  lseek(err_, 0, SEEK_SET);
  errors_ = ReadAll(err_);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace farswap::server

#include "client/runtime/private_server.h"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace farswap::runtime {
namespace {

namespace fs = std::filesystem;

constexpr char kServerName[] = "farswap-server";
constexpr char kReady[] = "farswap-server ready ";

bool IsProgram(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error) && access(path.c_str(), X_OK) == 0;
}

std::vector<fs::path> Candidates() {
  std::vector<fs::path> paths;
  std::error_code error;
  const fs::path self = fs::read_symlink("/proc/self/exe", error);
  if (!error) {
    const fs::path directory = self.parent_path();
    paths.push_back(directory / kServerName);
    paths.push_back(directory / "../bin" / kServerName);
    // From libexec/farswap.
    paths.push_back(directory / "../../bin" / kServerName);
  }
  const char* path = std::getenv("PATH");
  std::istringstream parts(path == nullptr ? "" : path);
  for (std::string part; std::getline(parts, part, ':');) {
    if (!part.empty()) paths.push_back(fs::path(part) / kServerName);
  }
  return paths;
}

// The value of data= in the line by which a server says that it serves; empty
// if the line is not that one.
std::string DataAddress(const std::string& line) {
  if (line.rfind(kReady, 0) != 0) return "";
  std::istringstream words(line.substr(sizeof(kReady) - 1));
  for (std::string word; words >> word;) {
    if (word.rfind("data=", 0) == 0) return word.substr(5);
  }
  return "";
}

std::string LastLine(const std::string& path) {
  std::ifstream log(path);
  std::string last;
  for (std::string line; std::getline(log, line);) {
    if (!line.empty()) last = line;
  }
  return last;
}

}  // namespace

absl::StatusOr<std::string> FindServer() {
  if (const char* named = std::getenv("FARSWAP_SERVER"); named != nullptr) {
    if (IsProgram(named)) return std::string(named);
    return absl::NotFoundError(absl::StrCat("FARSWAP_SERVER=", named,
                                            " is not a program that can run"));
  }
  for (const fs::path& path : Candidates()) {
    if (IsProgram(path)) return path.string();
  }
  return absl::NotFoundError(
      "farswap-server is neither beside this program, nor in ../bin or "
      "../../bin, nor in PATH; set FARSWAP_SERVER to its path, or name running "
      "servers");
}

absl::StatusOr<std::unique_ptr<PrivateServer>> PrivateServer::Start(
    const PrivateServerOptions& options) {
  absl::StatusOr<std::string> program = FindServer();
  if (!program.ok()) return program.status();
  // Not $TMPDIR: a Unix socket's path is at most 107 bytes long.
  char directory[] = "/tmp/farswap-XXXXXX";
  if (mkdtemp(directory) == nullptr) {
    return absl::ErrnoToStatus(errno, "cannot make a directory in /tmp");
  }
  std::unique_ptr<PrivateServer> server(new PrivateServer(options, directory));
  if (absl::Status status = server->Launch(*program); !status.ok()) {
    return status;
  }
  return server;
}

absl::Status PrivateServer::Launch(const std::string& program) {
  absl::StatusOr<std::unique_ptr<ChildProcess>> process = ChildProcess::Start(
      {program, absl::StrCat("--listen=unix:", directory_, "/data"),
       absl::StrCat("--admin-listen=unix:", directory_, "/admin"),
       "--metrics-listen=127.0.0.1:0",
       absl::StrCat("--data-dir=", directory_, "/metadata"), "--pool=anon",
       absl::StrCat("--capacity=", options_.capacity_bytes),
       "--allow-overcommit"},
      log_path());
  if (!process.ok()) return process.status();
  process_ = *std::move(process);
  const auto until = std::chrono::steady_clock::now() + options_.start_timeout;
  while (address_.empty()) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(
        until - std::chrono::steady_clock::now());
    absl::StatusOr<std::string> line = process_->ReadLine(left);
    if (!line.ok()) return Unavailable(line.status());
    address_ = DataAddress(*line);
  }
  return absl::OkStatus();
}

absl::Status PrivateServer::Unavailable(const absl::Status& cause) {
  std::string message = "the private farswap-server did not start: ";
  if (auto end = process_->Wait(std::chrono::seconds(1)); end.has_value()) {
    absl::StrAppend(&message, *end);
  } else {
    absl::StrAppend(&message, cause.message());
  }
  if (const std::string words = LastLine(log_path()); !words.empty()) {
    absl::StrAppend(&message, ", \"", words, "\"");
  }
  return absl::UnavailableError(message);
}

PrivateServer::~PrivateServer() {
  if (process_ != nullptr) process_->Stop(options_.stop_timeout);
  std::error_code ignored;
  fs::remove_all(directory_, ignored);
}

}  // namespace farswap::runtime

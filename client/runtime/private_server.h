// The embedded default: a farswap-server of the program's own, on a Unix
// socket, for programs that were given no servers. Its pool is anonymous
// memory of the same machine, so it shows far memory at work and makes a
// program testable; it adds no memory.
//
// Ends with the program; see ChildProcess for the thread it hangs on. A program
// that is killed leaves the directory in /tmp, some KiB of metadata.
#ifndef FARSWAP_CLIENT_RUNTIME_PRIVATE_SERVER_H_
#define FARSWAP_CLIENT_RUNTIME_PRIVATE_SERVER_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "client/runtime/child_process.h"

namespace farswap::runtime {

struct PrivateServerOptions {
  // Of its pool. Costs nothing until used.
  uint64_t capacity_bytes = 0;
  std::chrono::milliseconds start_timeout{20000};
  std::chrono::milliseconds stop_timeout{5000};
};

class PrivateServer {
 public:
  // Starts the server that FindServer finds and waits until it serves.
  //   NOT_FOUND    no farswap-server; the message says where one was sought
  //   UNAVAILABLE  it did not start; the message has its last words
  static absl::StatusOr<std::unique_ptr<PrivateServer>> Start(
      const PrivateServerOptions& options);

  // Stops it and removes its directory.
  ~PrivateServer();
  PrivateServer(const PrivateServer&) = delete;
  PrivateServer& operator=(const PrivateServer&) = delete;

  // To dial: "unix:/tmp/farswap-XXXXXX/data".
  const std::string& address() const { return address_; }
  pid_t pid() const { return process_->pid(); }

 private:
  PrivateServer(const PrivateServerOptions& options, std::string directory)
      : options_(options), directory_(std::move(directory)) {}

  absl::Status Launch(const std::string& program);
  // What went wrong, from the process's end and the log's last line.
  absl::Status Unavailable(const absl::Status& cause);
  std::string log_path() const { return directory_ + "/log"; }

  const PrivateServerOptions options_;
  const std::string directory_;
  std::unique_ptr<ChildProcess> process_;
  std::string address_;
};

// The path of the program: $FARSWAP_SERVER if it is set, else farswap-server
// beside this executable, in ../bin from there, or in $PATH.
absl::StatusOr<std::string> FindServer();

}  // namespace farswap::runtime

#endif  // FARSWAP_CLIENT_RUNTIME_PRIVATE_SERVER_H_

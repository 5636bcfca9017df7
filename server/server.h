// farswap-server: the parts put together, its ports, its start and its stop.
#ifndef FARSWAP_SERVER_SERVER_H_
#define FARSWAP_SERVER_SERVER_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/address.h"
#include "server/ownership.h"
#include "server/pool.h"

namespace farswap::server {

struct ServerOptions {
  Address listen;
  Address admin_listen;
  // Not a Unix socket: the HTTP server behind it has none.
  Address metrics_listen;
  std::string data_dir;
  Pool::Options pool;
  Ownership::Options ownership;
  // Threads that serve puts and gets: 1 .. 16.
  int data_threads = 2;
  // What messages on their way in and out may take together: 64 MiB .. 1 TiB.
  size_t message_bytes = size_t{1} << 30;
  // Takes lines for the operator, on any thread.
  std::function<void(const std::string&)> log;
};

class Server {
 public:
  // Serves when it returns. INVALID_ARGUMENT for options that cannot be right.
  static absl::StatusOr<std::unique_ptr<Server>> Start(
      const ServerOptions& options);

  // Stops at once, as far as Stop was not called.
  ~Server();

  // With the ports that were picked.
  const Address& data_address() const;
  const Address& admin_address() const;
  const Address& metrics_address() const;

  // Says NOT_SERVING, takes no more calls, lets those under way end for at
  // most `grace`, and writes out what has to be.
  absl::Status Stop(std::chrono::milliseconds grace);

 private:
  struct Impl;
  explicit Server(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

}  // namespace farswap::server

#endif  // FARSWAP_SERVER_SERVER_H_

// Where a server listens, as written on command lines: HOST:PORT, where HOST
// may be a [v6] address in brackets and PORT 0 (a listener picks one), or
// unix:PATH.
#ifndef FARSWAP_COMMON_ADDRESS_H_
#define FARSWAP_COMMON_ADDRESS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace farswap {

// sockaddr_un holds 108 bytes, the last one a zero.
inline constexpr size_t kMaxUnixPath = 107;

class Address {
 public:
  // INVALID_ARGUMENT in one line that says what would be right.
  static absl::StatusOr<Address> Parse(std::string_view text);

  bool is_unix() const { return !path_.empty(); }
  // Of a unix address; empty else.
  const std::string& path() const { return path_; }
  // Without the brackets; empty for a unix address.
  const std::string& host() const { return host_; }
  uint16_t port() const { return port_; }

  // The same address at the port that a listener was given.
  Address WithPort(uint16_t port) const;

  // As Parse reads it. This is also what gRPC takes, to listen and to dial.
  std::string ToString() const;

  friend bool operator==(const Address&, const Address&) = default;

 private:
  Address() = default;

  static absl::StatusOr<Address> ParseUnix(std::string_view text,
                                           std::string_view path);

  std::string path_;
  std::string host_;
  uint16_t port_ = 0;
};

// Addresses to dial, separated by commas: at least one, each with a port, none
// twice.
absl::StatusOr<std::vector<Address>> ParseServers(std::string_view text);

}  // namespace farswap

#endif  // FARSWAP_COMMON_ADDRESS_H_

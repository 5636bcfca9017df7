#include "common/address.h"

#include <algorithm>
#include <charconv>

#include "absl/status/status.h"

namespace farswap {
namespace {

constexpr std::string_view kUnix = "unix:";

absl::Status Refuse(std::string_view text, std::string_view remedy) {
  return absl::InvalidArgumentError("'" + std::string(text) + "' " +
                                    std::string(remedy));
}

bool ParsePort(std::string_view text, uint16_t* port) {
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, *port);
  return error == std::errc() && rest == end;
}

// Letters, digits, '.', '-', '_'; in brackets, what a v6 address has.
bool IsHost(std::string_view host, bool bracketed) {
  if (host.empty()) return false;
  return std::all_of(host.begin(), host.end(), [&](unsigned char c) {
    return isalnum(c) || c == '.' ||
           (bracketed ? c == ':' || c == '%' : c == '-' || c == '_');
  });
}

}  // namespace

absl::StatusOr<Address> Address::ParseUnix(std::string_view text,
                                           std::string_view path) {
  if (path.empty()) return Refuse(text, "names no path: write unix:/a/path");
  if (path.size() > kMaxUnixPath) {
    return Refuse(text, "is too long: the path of a Unix socket has at most " +
                            std::to_string(kMaxUnixPath) + " characters");
  }
  Address address;
  address.path_ = path;
  return address;
}

absl::StatusOr<Address> Address::Parse(std::string_view text) {
  if (text.substr(0, kUnix.size()) == kUnix) {
    return ParseUnix(text, text.substr(kUnix.size()));
  }
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) {
    return Refuse(text, "has no port: write HOST:PORT or unix:PATH");
  }
  std::string_view host = text.substr(0, colon);
  const bool bracketed =
      host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  if (!bracketed && host.find(':') != std::string_view::npos) {
    return Refuse(text,
                  "is not HOST:PORT: put an IPv6 address in brackets, "
                  "such as [::1]:7070");
  }
  if (!IsHost(host, bracketed)) {
    return Refuse(text,
                  "names no host: write HOST:PORT, such as "
                  "127.0.0.1:7070, or unix:PATH");
  }
  Address address;
  address.host_ = host;
  if (!ParsePort(text.substr(colon + 1), &address.port_)) {
    return Refuse(text,
                  "has no valid port: write a number from 0 to 65535 "
                  "after the last colon");
  }
  return address;
}

Address Address::WithPort(uint16_t port) const {
  Address address = *this;
  address.port_ = port;
  return address;
}

std::string Address::ToString() const {
  if (is_unix()) return std::string(kUnix) + path_;
  const bool v6 = host_.find(':') != std::string::npos;
  return (v6 ? "[" + host_ + "]" : host_) + ":" + std::to_string(port_);
}

absl::StatusOr<std::vector<Address>> ParseServers(std::string_view text) {
  std::vector<Address> servers;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    const std::string_view part = text.substr(begin, end - begin);
    absl::StatusOr<Address> address = Address::Parse(part);
    if (!address.ok()) return address.status();
    if (!address->is_unix() && address->port() == 0) {
      return Refuse(part, "cannot be dialled: write the server's port");
    }
    if (std::find(servers.begin(), servers.end(), *address) != servers.end()) {
      return Refuse(part, "is named twice: name each server once");
    }
    servers.push_back(*std::move(address));
    begin = end + 1;
  }
  return servers;
}

}  // namespace farswap

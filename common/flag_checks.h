// What programs check of their command lines: functions that return the empty
// string, or what is wrong, as CLI11 takes them.
#ifndef FARSWAP_COMMON_FLAG_CHECKS_H_
#define FARSWAP_COMMON_FLAG_CHECKS_H_

#include <functional>
#include <string>
#include <string_view>

#include "common/address.h"

namespace farswap {

using FlagCheck = std::function<std::string(const std::string& text)>;

// That it can be parsed; `*into` becomes what it says.
template <typename Parsed, typename T>
FlagCheck ParseInto(Parsed (*parse)(std::string_view), T* into) {
  return [parse, into](const std::string& text) -> std::string {
    auto parsed = parse(text);
    if (!parsed.ok()) return std::string(parsed.status().message());
    *into = *parsed;
    return "";
  };
}

// One memory server.
inline std::string CheckServer(const std::string& text) {
  const auto servers = ParseServers(text);
  if (!servers.ok()) return std::string(servers.status().message());
  return servers->size() == 1 ? "" : "several are not supported yet: name one";
}

// Where /metrics is served.
inline std::string CheckMetricsListen(const std::string& text) {
  const auto address = Address::Parse(text);
  if (!address.ok()) return std::string(address.status().message());
  return address->is_unix() ? "Prometheus needs HOST:PORT" : "";
}

}  // namespace farswap

#endif  // FARSWAP_COMMON_FLAG_CHECKS_H_

// farswap.hpp - the C++17 API: farswap.h with owners instead of handles.
//
//   auto client = farswap::Client::Open({.servers = "memory-1:7070"});
//   if (!client) return Complain(client.error());
//   auto group = client->CreateGroup(1 << 30);
//   auto region = group->CreateRegion({.bytes = 16ull << 30});
//   char* memory = region->data();
//
// Header-only, over the C API: a program may be built with another compiler
// than the library. Nothing throws (but std::string, when memory is out).
// farswap.h has the meaning of every option and the rules for a program that
// uses far memory.
//
// Owners are move-only, and end in the reverse order: regions before their
// group, groups before their client.
#ifndef FARSWAP_HPP_
#define FARSWAP_HPP_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "farswap.h"

namespace farswap {

// Why a call failed.
class Error {
 public:
  // From the C API's return value, in the thread that got it.
  static Error Last(int negative_errno) {
    return Error(-negative_errno, farswap_last_error());
  }

  int code() const { return code_; }  // An errno: EINVAL, EPERM, ...
  const std::string& message() const { return message_; }

 private:
  Error(int code, std::string message)
      : code_(code), message_(std::move(message)) {}

  int code_;
  std::string message_;
};

// A T, or why there is none.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::move(value)) {}      // NOLINT: implicit.
  Result(Error error) : state_(std::move(error)) {}  // NOLINT: implicit.

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  // REQUIRES: ok().
  T& operator*() & { return *std::get_if<0>(&state_); }
  T&& operator*() && { return std::move(*std::get_if<0>(&state_)); }
  T* operator->() { return std::get_if<0>(&state_); }
  // REQUIRES: !ok().
  const Error& error() const { return *std::get_if<1>(&state_); }

 private:
  std::variant<T, Error> state_;
};

struct RegionOptions {
  std::uint64_t bytes = 0;
  farswap_fail_policy fail_policy = FARSWAP_FAIL_POISON;
  bool huge = true;
};

// A range of far memory. It reads as zeros until written.
class Region {
 public:
  char* data() const {
    return static_cast<char*>(farswap_region_address(handle_.get()));
  }
  std::uint64_t size() const { return farswap_region_length(handle_.get()); }

  // Hints on ranges: 0, or a negative errno; see farswap.h.
  int Pin(std::uint64_t offset, std::uint64_t bytes) {
    return farswap_region_pin(handle_.get(), offset, bytes);
  }
  int Unpin(std::uint64_t offset, std::uint64_t bytes) {
    return farswap_region_unpin(handle_.get(), offset, bytes);
  }
  int Prefetch(std::uint64_t offset, std::uint64_t bytes) {
    return farswap_region_prefetch(handle_.get(), offset, bytes);
  }
  int Cold(std::uint64_t offset, std::uint64_t bytes) {
    return farswap_region_cold(handle_.get(), offset, bytes);
  }
  int Discard(std::uint64_t offset, std::uint64_t bytes) {
    return farswap_region_discard(handle_.get(), offset, bytes);
  }
  // A FARSWAP_PAGE_* for each page of the range.
  Result<std::vector<unsigned char>> Residency(std::uint64_t offset,
                                               std::uint64_t bytes) const {
    std::vector<unsigned char> pages(bytes / 4096 + (bytes % 4096 != 0));
    const int result =
        farswap_region_residency(handle_.get(), offset, bytes, pages.data());
    if (result < 0) return Error::Last(result);
    return pages;
  }

 private:
  friend class Group;
  struct Destroy {
    void operator()(farswap_region* region) { farswap_region_destroy(region); }
  };
  explicit Region(farswap_region* handle) : handle_(handle) {}

  std::unique_ptr<farswap_region, Destroy> handle_;
};

// What limits how much of its regions is local.
class Group {
 public:
  Result<Region> CreateRegion(const RegionOptions& options) {
    farswap_region_options c;
    farswap_region_options_init(&c, sizeof(c));
    c.bytes = options.bytes;
    c.fail_policy = options.fail_policy;
    c.huge = options.huge ? 1 : 0;
    farswap_region* region = nullptr;
    const int result = farswap_region_create(handle_.get(), &c, &region);
    if (result < 0) return Error::Last(result);
    return Region(region);
  }

  // 0, or a negative errno; see farswap_group_set_limit.
  int SetLimit(std::uint64_t local_limit) {
    return farswap_group_set_limit(handle_.get(), local_limit);
  }
  // 0, or a negative errno; see farswap_group_set_swap_limit.
  int SetSwapLimit(std::uint64_t swap_limit) {
    return farswap_group_set_swap_limit(handle_.get(), swap_limit);
  }

 private:
  friend class Client;
  struct Destroy {
    void operator()(farswap_group* group) { farswap_group_destroy(group); }
  };
  explicit Group(farswap_group* handle) : handle_(handle) {}

  std::unique_ptr<farswap_group, Destroy> handle_;
};

struct ClientOptions {
  std::string servers;
  std::chrono::milliseconds fault_deadline{60000};
  std::uint64_t staging_bytes = std::uint64_t{32} << 20;
  std::string name;            // Empty: the program's.
  std::string metrics_listen;  // Empty: nowhere.
};

// The connection to the memory servers.
class Client {
 public:
  static Result<Client> Open(const ClientOptions& options) {
    farswap_client_options c;
    farswap_client_options_init(&c, sizeof(c));
    c.servers = options.servers.c_str();
    // A negative duration is not to become an endless one.
    c.fault_deadline_ms =
        options.fault_deadline.count() < 0 ? 0 : options.fault_deadline.count();
    c.staging_bytes = options.staging_bytes;
    if (!options.name.empty()) c.name = options.name.c_str();
    c.metrics_listen = options.metrics_listen.c_str();
    farswap_client* client = nullptr;
    const int result = farswap_client_open(&c, &client);
    if (result < 0) return Error::Last(result);
    return Client(client);
  }

  // `parent`: the group that it is below, and that outlives it.
  Result<Group> CreateGroup(std::uint64_t local_limit,
                            const Group* parent = nullptr) {
    farswap_group_options c;
    farswap_group_options_init(&c, sizeof(c));
    c.local_limit = local_limit;
    if (parent != nullptr) c.parent = parent->handle_.get();
    farswap_group* group = nullptr;
    const int result = farswap_group_create(handle_.get(), &c, &group);
    if (result < 0) return Error::Last(result);
    return Group(group);
  }

  farswap_stats Stats() const {
    farswap_stats stats = {};
    stats.size = sizeof(stats);
    farswap_client_stats(handle_.get(), &stats);
    return stats;
  }

  // "HOST:PORT" of the client's metrics; empty without metrics_listen.
  std::string MetricsAddress() const {
    return farswap_client_metrics_address(handle_.get());
  }

  std::string StatsJson() const {
    const std::unique_ptr<char, void (*)(void*)> json(
        farswap_client_stats_json(handle_.get()), std::free);
    return json == nullptr ? "{}" : json.get();
  }

 private:
  struct Close {
    void operator()(farswap_client* client) { farswap_client_close(client); }
  };
  explicit Client(farswap_client* handle) : handle_(handle) {}

  std::unique_ptr<farswap_client, Close> handle_;
};

}  // namespace farswap

#endif  // FARSWAP_HPP_
